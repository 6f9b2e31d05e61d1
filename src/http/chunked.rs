//! Decodes and encodes the chunked transfer coding (RFC 9112 §7.1).
//!
//! Invariant: any split of the input decodes to the same bytes and ends at the same position. The decoder is strict, because
//! a request can be smuggled past a parser that reads the same bytes differently: lines end with CRLF, never with LF alone,
//! and blanks are allowed only where the grammar has them.

use self::extension::Extension;
use super::token::{is_token_byte, is_value_byte};

mod extension;

/// The result of [`ChunkedDecoder::decode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// All input was consumed, and the body continues.
    More,
    /// The body ended; the input after the first `consumed` bytes belongs to the next request.
    Done {
        /// How many bytes of this call's input were part of the body.
        consumed: usize,
    },
}

/// Why a chunked body cannot be decoded. Where the next request begins is then unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkedError {
    /// The bytes are not a chunked body.
    Malformed,
    /// A size exceeds 64 bits, or extensions or trailers exceed their limits.
    TooLarge,
}

/// The decoder of one chunked body.
#[derive(Clone, Debug)]
pub(crate) struct ChunkedDecoder {
    state: ChunkState,
    /// Bytes that the extensions of all remaining chunks may use.
    extension_budget: usize,
    /// Bytes that the rest of the trailer section may use.
    trailer_budget: usize,
}

/// What the decoder expects next.
#[derive(Clone, Copy, Debug)]
enum ChunkState {
    /// A digit of a chunk-size; after the first digit also an extension or CR.
    Size { size: u64, digits: u8 },
    /// More of the extensions after a size, or CR.
    Extensions { size: u64, next: Extension },
    /// The LF of the line with the size.
    SizeLf { size: u64 },
    /// Chunk data; `left` is never zero.
    Data { left: u64 },
    /// The CR after chunk data.
    DataCr,
    /// The LF after chunk data.
    DataLf,
    /// A trailer field, or the CR of the empty line that ends the body.
    Trailer,
    /// The rest of a field name up to its colon.
    TrailerName,
    /// The rest of a field value up to CR.
    TrailerValue,
    /// The LF of a trailer field.
    TrailerLf,
    /// The LF that ends the body.
    LastLf,
    /// Nothing, because the body is complete.
    Done,
}

const FIRST_SIZE: ChunkState = ChunkState::Size { size: 0, digits: 0 };

/// The number of hexadecimal digits in 64 bits; leading zeros count.
const MAX_DIGITS: u8 = 16;

const MAX_EXTENSIONS: usize = 16 * 1024;

const MAX_TRAILERS: usize = 16 * 1024;

impl Default for ChunkedDecoder {
    fn default() -> Self {
        Self {
            state: FIRST_SIZE,
            extension_budget: MAX_EXTENSIONS,
            trailer_budget: MAX_TRAILERS,
        }
    }
}

impl ChunkedDecoder {
    /// Decodes more of the body and passes its data to `sink`, as non-empty slices of `input`.
    ///
    /// Must not be called again after an error. Extensions and trailer fields are checked and discarded.
    pub(crate) fn decode(
        &mut self,
        input: &[u8],
        sink: &mut impl FnMut(&[u8]),
    ) -> Result<Decoded, ChunkedError> {
        let mut rest = input;
        loop {
            if let ChunkState::Done = self.state {
                let consumed = input.len() - rest.len();
                return Ok(Decoded::Done { consumed });
            }
            let Some((&byte, after)) = rest.split_first() else {
                return Ok(Decoded::More);
            };
            if let ChunkState::Data { left } = self.state {
                let length = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                let (data, after) = rest.split_at(length);
                sink(data);
                rest = after;
                self.state = match left - length as u64 {
                    0 => ChunkState::DataCr,
                    left => ChunkState::Data { left },
                };
            } else {
                self.state = self.state.after(byte).ok_or(ChunkedError::Malformed)?;
                self.charge()?;
                rest = after;
            }
        }
    }

    /// Takes the byte that led to the current state from the budget of that state.
    fn charge(&mut self) -> Result<(), ChunkedError> {
        let budget = match self.state {
            ChunkState::Size { digits, .. } if digits > MAX_DIGITS => {
                return Err(ChunkedError::TooLarge);
            }
            ChunkState::Extensions { .. } => &mut self.extension_budget,
            ChunkState::TrailerName | ChunkState::TrailerValue | ChunkState::TrailerLf => {
                &mut self.trailer_budget
            }
            _ => return Ok(()),
        };
        *budget = budget.checked_sub(1).ok_or(ChunkedError::TooLarge)?;
        Ok(())
    }
}

impl ChunkState {
    /// Returns the state after `byte`, which is not chunk data; `None` if the byte is not allowed here.
    fn after(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Size { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16)?;
                Self::Size {
                    size: size << 4 | u64::from(digit),
                    digits: digits.saturating_add(1),
                }
            }
            (Self::Size { digits: 0, .. }, _) => return None,
            (Self::Size { size, .. }, b'\r') => Self::SizeLf { size },
            (Self::Size { size, .. }, _) => Self::Extensions {
                size,
                next: Extension::Semicolon.after(byte)?,
            },
            (Self::Extensions { size, next }, b'\r') if next.may_end() => Self::SizeLf { size },
            (Self::Extensions { size, next }, _) => Self::Extensions {
                size,
                next: next.after(byte)?,
            },
            (Self::SizeLf { size: 0 }, b'\n') => Self::Trailer,
            (Self::SizeLf { size }, b'\n') => Self::Data { left: size },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => FIRST_SIZE,
            (Self::Trailer, b'\r') => Self::LastLf,
            (Self::Trailer | Self::TrailerName, _) if is_token_byte(byte) => Self::TrailerName,
            (Self::TrailerName, b':') => Self::TrailerValue,
            (Self::TrailerValue, b'\r') => Self::TrailerLf,
            (Self::TrailerValue, _) if is_value_byte(byte) => Self::TrailerValue,
            (Self::TrailerLf, b'\n') => Self::Trailer,
            (Self::LastLf, b'\n') => Self::Done,
            _ => return None,
        })
    }
}

/// The end of a chunked body without trailer fields.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The length of a line from [`chunk_head`].
const CHUNK_HEAD_LEN: usize = 10;

/// Returns the line before `length` bytes of data. Its width is fixed, so it can be filled in after the data was written.
fn chunk_head(length: u32) -> [u8; CHUNK_HEAD_LEN] {
    let mut head = *b"00000000\r\n";
    for (at, digit) in head.iter_mut().take(8).enumerate() {
        let nibble = length >> (28 - 4 * at) & 0xf;
        *digit = char::from_digit(nibble, 16).map_or(b'0', |digit| digit as u8);
    }
    head
}

/// Appends `data` as one chunk. Appends nothing if it is empty, because an empty chunk ends the body.
pub(crate) fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    let start = open_chunk(out);
    out.extend_from_slice(data);
    close_chunk(out, start);
}

/// Appends space for a chunk head and returns the position after it. Append the data there, then call [`close_chunk`].
pub(crate) fn open_chunk(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&chunk_head(0));
    out.len()
}

/// Completes the chunk with the data from `start` on. Without data, it removes the space for the head.
pub(crate) fn close_chunk(out: &mut Vec<u8>, start: usize) {
    let head = start.saturating_sub(CHUNK_HEAD_LEN)..start;
    match out.len().saturating_sub(start) {
        0 => out.truncate(head.start),
        length => {
            match u32::try_from(length) {
                Ok(length) => out[head].copy_from_slice(&chunk_head(length)),
                Err(_) => drop(out.splice(head, format!("{length:x}\r\n").into_bytes())),
            }
            out.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests;
