//! Compression of a whole content, by the crates of the feature `compress`.

use std::io;

use crate::http::accept_encoding::Coding;

/// Whether content can be encoded here. The crate for Brotli is two thirds as large as this whole program, so `br` is only sent from
/// siblings.
pub(super) fn can_encode(coding: Coding) -> bool {
    cfg!(feature = "compress") && coding != Coding::Brotli
}

/// Returns `content` in `coding`.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] for a coding that is not made here, or the error of the encoder.
#[cfg(feature = "compress")]
pub(super) fn encode(coding: Coding, content: &[u8]) -> io::Result<Vec<u8>> {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    /// Each of these levels takes about 40 ms for 1 MiB of source code. The next ones take several times that, for a few per cent
    /// less.
    const GZIP_LEVEL: u32 = 6;
    const ZSTD_LEVEL: i32 = 9;

    match coding {
        Coding::Brotli => Err(io::ErrorKind::Unsupported.into()),
        Coding::Zstd => zstd::bulk::compress(content, ZSTD_LEVEL),
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL));
            encoder.write_all(content)?;
            encoder.finish()
        }
    }
}

#[cfg(not(feature = "compress"))]
pub(super) fn encode(_coding: Coding, _content: &[u8]) -> io::Result<Vec<u8>> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, feature = "compress"))]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn what_is_encoded_can_be_decoded() {
        let text = "the same again, ".repeat(1000).into_bytes();
        let gzip = encode(Coding::Gzip, &text).unwrap();
        let mut decoded = Vec::new();
        GzDecoder::new(&*gzip).read_to_end(&mut decoded).unwrap();
        assert_eq!(decoded, text);
        let zstd = encode(Coding::Zstd, &text).unwrap();
        assert_eq!(zstd::bulk::decompress(&zstd, text.len()).unwrap(), text);
        assert!(gzip.len() < 200 && zstd.len() < 200);
        assert!(!can_encode(Coding::Brotli) && encode(Coding::Brotli, &text).is_err());
    }
}
