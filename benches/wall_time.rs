//! Takes the time of every case with divan: `cargo bench --bench wall_time [PART]` runs the cases with PART in their name.
//!
//! The figures depend on the machine and its load; `instructions.rs` compares two versions of the server.
// A failure should stop the benchmark.
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
