//! How a server ends: by its handle or by a signal, and in which stages.

pub(crate) mod drain;
pub(crate) mod handle;
pub(crate) mod signals;
