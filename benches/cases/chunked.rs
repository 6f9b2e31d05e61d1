//! Chunked coding: 64 KiB in large and in small chunks.

use std::hint::black_box;

use super::call;
use crate::http::chunked::{ChunkedDecoder, LAST_CHUNK, write_chunk};

const LENGTH: usize = 64 * 1024;

/// Decodes chunks of `size` bytes.
fn decode(size: usize) -> impl FnMut() -> usize {
    let mut coded = Vec::new();
    for chunk in vec![b'x'; LENGTH].chunks(size) {
        write_chunk(&mut coded, chunk);
    }
    coded.extend_from_slice(LAST_CHUNK);
    move || {
        let mut length = 0;
        let mut count = |content: &[u8]| length += content.len();
        let decoded = ChunkedDecoder::default().decode(black_box(&coded), &mut count);
        assert!(decoded.is_ok() && length == LENGTH);
        length
    }
}

fn encode(size: usize) -> impl FnMut() -> usize {
    let (content, mut out) = (vec![b'x'; size], Vec::with_capacity(size + 64));
    move || {
        out.clear();
        write_chunk(&mut out, black_box(&content));
        out.len()
    }
}

cases! {
    chunked:
    decode_of_16_kib => call(decode(16 * 1024));
    decode_of_64_bytes => call(decode(64));
    encode_16_kib => call(encode(16 * 1024));
}
