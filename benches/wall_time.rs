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

fn main() {
    divan::main();
}
