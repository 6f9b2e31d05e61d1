//! What must hold for any bytes: each property is a function that panics where it does not. `fuzz/` feeds it what libFuzzer
//! makes up; `cargo test` what proptest generates, and the corpus that fuzzing left behind.
//!
//! Invariant: the yardstick beside a rule is written anew and naively, so that both are not wrong in the same way.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a property says what must hold by panicking where it does not"
)]

mod chunked;
mod head;
mod range;

pub use chunked::chunked;
pub use head::head;
pub use range::range;

pub(crate) use chunked::{Unchunked, unchunk};
pub(crate) use head::{Front, front};

/// Takes from the front of `input` where the rest of it is cut, in order: a count below 8, and a byte for each cut.
pub(crate) fn take_cuts<'a>(input: &mut &'a [u8]) -> (Vec<usize>, &'a [u8]) {
    let count = usize::from(take_byte(input) % 8).min(input.len());
    let (cuts, rest) = input.split_at(count);
    *input = rest;
    let at = |cut: &u8| usize::from(*cut) * rest.len() / 255;
    let mut cuts: Vec<_> = cuts.iter().map(at).collect();
    cuts.sort_unstable();
    (cuts, rest)
}

/// Takes one byte from the front of `input`; 0 where there is none.
pub(crate) fn take_byte(input: &mut &[u8]) -> u8 {
    let (first, rest) = input.split_first().unwrap_or((&0, &[]));
    *input = rest;
    *first
}

/// Runs `property` on every file of its corpus. A published package has none.
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

/// What `bytes` makes, at times with one byte of it changed, left out or added: most bugs are close to what is right.
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
