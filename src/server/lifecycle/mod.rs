//! How a server ends or reloads, by its handle or by a signal, in which stages it ends, and what the service manager is told of it.

pub(crate) mod drain;
pub(crate) mod handle;
pub(crate) mod notifier;
pub(crate) mod signals;
#[cfg(feature = "tls")]
pub(crate) mod tls_reader;
