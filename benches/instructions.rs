//! Counts the instructions of every case, by gungraun on callgrind; `benches/bench-check` compares them with `baseline.txt`.
// A program of its own; what fails here is to fail loudly.
#![allow(missing_docs, clippy::unwrap_used)]
#![allow(unused_qualifications)] // What gungraun's macros write.

use gungraun::prelude::*;
use gungraun::{Callgrind, library_benchmark_group, main};

use cases::Case;
use cases::accept::accept;
use cases::chunked::chunked;
use cases::conditional::conditional;
use cases::date::date;
use cases::floors::{config, http};
use cases::guess_type::media_type;
use cases::lists::list;
use cases::range::range;
use cases::request::head;
use cases::requests::request;
use cases::translate_path::path;

macro_rules! cases {
    ($topic:ident: $($name:ident => $case:expr;)+) => {
        #[gungraun::library_benchmark]
        $(#[bench::$name(args = (crate::ready($case)), teardown = crate::check)])+
        pub(crate) fn $topic(mut case: Box<dyn crate::Case>) -> Box<dyn crate::Case> {
            case.run();
            case
        }
    };
}

mod cases;

fn ready(mut case: Box<dyn Case>) -> Box<dyn Case> {
    case.before();
    case.run();
    case.after();
    case.before();
    case
}

fn check(mut case: Box<dyn Case>) {
    case.after();
}

library_benchmark_group!(name = server, benchmarks = [request]);
library_benchmark_group!(
    name = rules,
    benchmarks = [
        accept,
        chunked,
        conditional,
        date,
        list,
        media_type,
        range,
        head,
        path
    ]
);
main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = [server, rules]
);
