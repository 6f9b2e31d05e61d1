//! What is measured: a file for each hot pure function, and `requests.rs` for the whole way of a request.
//!
//! Each file is a table, `cases!`, whose macro is the measuring program's: one counts instructions, the other takes the
//! time. The pure functions are not public. Their floors are compiled into the measuring program as they stand, which works
//! because they know nothing of the rest.

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

/// What is run over and over; only `run` is measured.
pub(crate) trait Case {
    /// Makes everything ready for one run.
    fn before(&mut self) {}

    fn run(&mut self);

    /// Checks that the run did what it should.
    fn after(&mut self) {}
}

impl<F: FnMut()> Case for F {
    fn run(&mut self) {
        self();
    }
}

/// Wraps a pure function.
pub(crate) fn call<R>(mut function: impl FnMut() -> R + 'static) -> Box<dyn Case> {
    Box::new(move || {
        std::hint::black_box(function());
    })
}
