//! Where a request body ends (RFC 9112 §6): by its announced length or by its last chunk.

use super::chunked::{ChunkedDecoder, Decoded};
use super::request::{Framing, RequestError};

/// Follows one request body through the bytes of its connection.
#[derive(Debug)]
pub(crate) enum BodyDecoder {
    /// So many bytes are still to come.
    Length(u64),
    Chunked(ChunkedDecoder),
}

impl BodyDecoder {
    pub(crate) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(ChunkedDecoder::default()),
        }
    }

    /// Whether more than `limit` bytes are already known to be to come.
    pub(crate) fn announces_more_than(&self, limit: u64) -> bool {
        matches!(self, Self::Length(length) if *length > limit)
    }

    /// Takes the bytes of the body off the front of `input`, gives its content to `sink`, and says whether it is complete.
    pub(crate) fn decode(
        &mut self,
        input: &mut &[u8],
        mut sink: impl FnMut(&[u8]),
    ) -> Result<bool, RequestError> {
        match self {
            Self::Length(left) => {
                let length = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                let (content, rest) = input.split_at(length);
                sink(content);
                *input = rest;
                *left -= length as u64;
                Ok(*left == 0)
            }
            Self::Chunked(decoder) => {
                let decoded = decoder
                    .decode(input, &mut sink)
                    .map_err(|_| RequestError::ChunkedBody)?;
                let consumed = match decoded {
                    Decoded::More => input.len(),
                    Decoded::Done { consumed } => consumed,
                };
                *input = input.get(consumed..).unwrap_or_default();
                Ok(decoded != Decoded::More)
            }
        }
    }
}
