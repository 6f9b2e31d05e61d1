//! Measures the time of every case with divan: `cargo bench --bench wall_time`, followed by a part of a name.
//!
//! The times are those of one machine at one moment. To compare two versions, count instructions (`instructions.rs`).
// A benchmark may panic on errors.
#![allow(missing_docs, clippy::unwrap_used)]

use cases::Case;
use cases::floors::{config, http};

macro_rules! cases {
    ($topic:ident: $($name:ident => $case:expr;)+) => {
        #[divan::bench(args = [$(stringify!($name)),+])]
        fn $topic(bencher: divan::Bencher<'_, '_>, name: &str) {
            $(if name == stringify!($name) {
                return crate::measure(bencher, $case);
            })+
        }
    };
}

mod cases;

fn measure(bencher: divan::Bencher<'_, '_>, mut case: Box<dyn Case>) {
    bencher.bench_local(|| {
        case.before();
        case.run();
        case.after();
    });
}

/// One side of a key exchange for TLS. The processor that valgrind emulates lacks the instructions for graviola, so this is not among
/// the cases of `instructions.rs`.
#[cfg(all(feature = "tls", any(target_arch = "x86_64", target_arch = "aarch64")))]
#[divan::bench(args = ["ring", "graviola"])]
fn x25519(bencher: divan::Bencher<'_, '_>, name: &str) {
    use rustls::crypto::SupportedKxGroup;

    let group: &dyn SupportedKxGroup = match name {
        "ring" => rustls::crypto::ring::kx_group::X25519,
        _ => &rustls_graviola::kx::X25519,
    };
    let peer = group.start().unwrap().pub_key().to_vec();
    bencher.bench_local(|| group.start().unwrap().complete(&peer).unwrap());
}

fn main() {
    divan::main();
}
