//! Takes the time of every case, by divan: `cargo bench --bench wall_time`, followed by a part of a name.
//!
//! Figures of one machine at one time: what changed between two versions, `instructions.rs` tells.
// A program of its own; what fails here is to fail loudly.
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

fn main() {
    divan::main();
}
