//! The measured cases: a file for each hot pure function, and `requests.rs` for complete requests.
//!
//! Each file has a table, `cases!`. Each of the two programs defines that macro: one counts instructions, the other measures
//! time. The pure functions are not public, so their floors are compiled into the programs; that works because they use no
//! other part of the crate.

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

/// A case that is run repeatedly; only `run` is measured.
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
