//! The chunked transfer coding, both ways (RFC 9112 §7.1).
//!
//! Invariant: any split of the input decodes to the same bytes and ends at the same place. The decoder is strict, for
//! whatever two readers understand differently is a way to smuggle a request past one of them: lines end with CRLF, never
//! with LF alone, and blanks stand only where the grammar has them.

use self::extension::Extension;
use super::token::is_token_byte;

mod extension;

/// What a call of [`ChunkedDecoder::decode`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// All of the input is consumed, and the body goes on.
    More,
    /// The body ended; what follows the first `consumed` bytes belongs to the next request.
    Done {
        /// How many bytes of this call's input were part of the body.
        consumed: usize,
    },
}

/// Why a chunked body cannot be read on; where the next request begins is unknown from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChunkedError {
    /// The bytes are not those of a chunked body.
    Malformed,
    /// A size beyond 64 bits, or more extensions or trailers than anybody needs.
    TooLarge,
}

/// A chunked body on its way in.
#[derive(Clone, Debug)]
pub(crate) struct ChunkedDecoder {
    state: ChunkState,
    /// Bytes that may yet go to extensions, of all chunks together.
    extension_budget: usize,
    /// Bytes that may yet go to the trailer section.
    trailer_budget: usize,
}

/// What is awaited next.
#[derive(Clone, Copy, Debug)]
enum ChunkState {
    /// The first digit of a chunk-size, or another one.
    Size { size: u64, digits: u8 },
    /// More of the extensions that follow the size, or CR.
    Extensions { size: u64, next: Extension },
    /// The LF of the line that bore the size.
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
    /// Nothing: the body is complete.
    Done,
}

const FIRST_SIZE: ChunkState = ChunkState::Size { size: 0, digits: 0 };

/// As many hexadecimal digits as 64 bits have, leading zeros included.
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
    /// Decodes more of the body and hands its data to `sink`, as slices of `input` that are never empty.
    ///
    /// Call it no more after an error. Extensions and trailer fields are checked and thrown away.
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

    /// Takes the byte that led to the present state from the budget it belongs to.
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
    /// Returns what is awaited after `byte`, which is no chunk data; `None` if it cannot stand here.
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
            (Self::TrailerValue, _) if is_text(byte) => Self::TrailerValue,
            (Self::TrailerLf, b'\n') => Self::Trailer,
            (Self::LastLf, b'\n') => Self::Done,
            _ => return None,
        })
    }
}

/// What may stand in a field value or a quoted-string: anything but control characters (RFC 9110 §5.5, §5.6.4).
fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

/// What ends a chunked body that has no trailer fields.
pub(crate) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The length of what [`chunk_head`] returns.
pub(crate) const CHUNK_HEAD_LEN: usize = 10;

/// Returns the line before `length` bytes of data. Its width is fixed, so that it can be written after the data.
pub(crate) fn chunk_head(length: u32) -> [u8; CHUNK_HEAD_LEN] {
    let mut head = *b"00000000\r\n";
    for (at, digit) in head.iter_mut().take(8).enumerate() {
        let nibble = length >> (28 - 4 * at) & 0xf;
        *digit = char::from_digit(nibble, 16).map_or(b'0', |digit| digit as u8);
    }
    head
}

/// Appends `data` as one chunk; nothing if it is empty, for an empty chunk would end the body.
pub(crate) fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    let start = open_chunk(out);
    out.extend_from_slice(data);
    close_chunk(out, start);
}

/// Makes room for a chunk head and returns where the data starts: append it to `out`, then call [`close_chunk`].
pub(crate) fn open_chunk(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&chunk_head(0));
    out.len()
}

/// Makes one chunk of the data from `start` on; if there is none, not even the head remains.
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
