//! How a server ends: by its handle or by a signal.

pub(crate) mod handle;
pub(crate) mod signals;
