//! Decodes request bodies: a body ends after its announced length or with its last chunk (RFC 9112 §6).

use super::chunked::{ChunkedDecoder, Decoded};
use super::framing::Framing;
use super::request::RequestError;

/// The decoder of one request body in the bytes of its connection.
#[derive(Debug)]
pub(crate) enum BodyDecoder {
    /// The number of bytes that are still to come.
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

    /// Returns whether the framing announces more than `limit` bytes.
    pub(crate) fn announces_more_than(&self, limit: u64) -> bool {
        matches!(self, Self::Length(length) if *length > limit)
    }

    /// Removes the bytes of the body from the front of `input`, passes its content to `sink`, and returns whether the body is
    /// complete.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `input` piece by piece; returns the content, whether it is complete, and the rest of the last piece.
    fn decode(framing: Framing, input: &[&str]) -> Result<(String, bool, String), RequestError> {
        let mut decoder = BodyDecoder::new(framing);
        let (mut content, mut done, mut left) = (Vec::new(), false, "");
        for piece in input {
            let mut bytes = piece.as_bytes();
            done = decoder.decode(&mut bytes, |part| content.extend_from_slice(part))?;
            left = &piece[piece.len() - bytes.len()..];
        }
        let content = String::from_utf8(content).unwrap();
        Ok((content, done, left.to_owned()))
    }

    #[test]
    fn a_body_ends_where_its_framing_says() {
        let length = Framing::Length;
        let table: [(Framing, &[&str], &str, bool, &str); 7] = [
            (length(0), &["GET"], "", true, "GET"),
            (length(3), &["ab"], "ab", false, ""),
            (length(3), &["a", "", "bcGET"], "abc", true, "GET"),
            (length(u64::MAX), &["abc"], "abc", false, ""),
            (Framing::Chunked, &["3\r\nabc\r\n"], "abc", false, ""),
            (
                Framing::Chunked,
                &["3\r\na", "bc\r\n0\r\n\r\nGET"],
                "abc",
                true,
                "GET",
            ),
            (Framing::Chunked, &["0\r\n\r\n"], "", true, ""),
        ];
        for (framing, input, content, done, left) in table {
            let expected = (content.to_owned(), done, left.to_owned());
            assert_eq!(
                decode(framing, input),
                Ok(expected),
                "{framing:?}, {input:?}"
            );
        }
        assert_eq!(
            decode(Framing::Chunked, &["x"]),
            Err(RequestError::ChunkedBody)
        );
    }

    #[test]
    fn only_a_length_is_announced() {
        let decoder = |framing| BodyDecoder::new(framing);
        assert!(decoder(Framing::Length(6)).announces_more_than(5));
        assert!(!decoder(Framing::Length(5)).announces_more_than(5));
        assert!(!decoder(Framing::Chunked).announces_more_than(0));
    }
}
