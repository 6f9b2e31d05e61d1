//! Properties that must hold for any bytes. Each is a function that panics if its property does not hold. `fuzz/` calls it
//! with input from libFuzzer; `cargo test` with input from proptest and with the corpus of earlier fuzzing.
//!
//! Invariant: each property compares a rule with a second, naive implementation, so that both are not wrong in the same way.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a property panics if it does not hold"
)]

mod accept_encoding;
mod chunked;
mod forwarded;
mod head;
mod proxy_protocol;
mod range;

pub use accept_encoding::accept_encoding;
pub use chunked::chunked;
pub use forwarded::forwarded;
pub use head::head;
pub use proxy_protocol::proxy_protocol;
pub use range::range;

pub(crate) use chunked::{Unchunked, unchunk};
pub(crate) use head::{Front, front};

/// Takes from the front of `input` the positions, in order, at which the rest is cut: a count below 8, then a byte for each.
pub(crate) fn take_cuts<'a>(input: &mut &'a [u8]) -> (Vec<usize>, &'a [u8]) {
    let count = usize::from(take_byte(input) % 8).min(input.len());
    let (cuts, rest) = input.split_at(count);
    *input = rest;
    let at = |cut: &u8| usize::from(*cut) * rest.len() / 255;
    let mut cuts: Vec<_> = cuts.iter().map(at).collect();
    cuts.sort_unstable();
    (cuts, rest)
}

/// Takes one byte from the front of `input`; returns 0 if it is empty.
pub(crate) fn take_byte(input: &mut &[u8]) -> u8 {
    let (first, rest) = input.split_first().unwrap_or((&0, &[]));
    *input = rest;
    *first
}

/// Runs `property` on every file of its corpus. A published package does not contain the corpus.
#[cfg(test)]
pub(crate) fn replay(name: &str, property: impl Fn(&[u8])) {
    let fuzz = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    if !fuzz.exists() {
        return;
    }
    let files: Vec<_> = std::fs::read_dir(fuzz.join("corpus").join(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(!files.is_empty());
    for file in files {
        let input = std::fs::read(&file).unwrap();
        let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| property(&input)));
        assert!(held.is_ok(), "{}", file.display());
    }
}

/// Returns the values of `bytes`, some with one byte changed, removed or added: most bugs are close to valid input.
#[cfg(test)]
pub(crate) fn nearly(
    bytes: impl proptest::strategy::Strategy<Value = Vec<u8>>,
) -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    use proptest::prelude::*;

    let byte = prop_oneof![
        prop::sample::select(b"\r\n \t\0:;,-0".to_vec()),
        any::<u8>()
    ];
    (bytes, 0..4, any::<prop::sample::Index>(), byte).prop_map(|(mut bytes, change, at, byte)| {
        let at = at.index(bytes.len() + 1);
        match (change, bytes.get_mut(at)) {
            (1, Some(old)) => *old = byte,
            (2, Some(_)) => drop(bytes.remove(at)),
            (3, _) => bytes.insert(at, byte),
            _ => {}
        }
        bytes
    })
}
