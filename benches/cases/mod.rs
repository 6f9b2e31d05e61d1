//! The measured cases: a file for each hot pure function, and `requests.rs` for whole requests.
//!
//! Each file is a table, `cases!`. The measuring program defines this macro: one counts instructions, the other takes the
//! time. The pure functions are not public, so `floors.rs` compiles their source files into the measuring program.

pub(crate) mod accept;
pub(crate) mod chunked;
pub(crate) mod conditional;
pub(crate) mod date;
pub(crate) mod floors;
pub(crate) mod guess_type;
pub(crate) mod lists;
pub(crate) mod range;
pub(crate) mod request;
pub(crate) mod requests;
pub(crate) mod translate_path;

/// A case that runs repeatedly; only `run` is measured.
pub(crate) trait Case {
    /// Prepares one run.
    fn before(&mut self) {}

    fn run(&mut self);

    /// Checks the result of the run.
    fn after(&mut self) {}
}

impl<F: FnMut()> Case for F {
    fn run(&mut self) {
        self();
    }
}

/// Makes a case of a pure function.
pub(crate) fn call<R>(mut function: impl FnMut() -> R + 'static) -> Box<dyn Case> {
    Box::new(move || {
        std::hint::black_box(function());
    })
}
