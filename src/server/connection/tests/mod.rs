//! Connections on a scripted transport: every row of the state table, every split of the input, every short write.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what must hold by panicking where it does not; some of this is for `fuzz/`, too"
)]
#![cfg_attr(
    fuzzing,
    allow(
        dead_code,
        reason = "fuzzing has one property, and needs less of the stage"
    )
)]

#[cfg(test)]
mod bodies;
#[cfg(test)]
mod budgets;
#[cfg(test)]
mod closing;
#[cfg(test)]
mod file_bodies;
#[cfg(test)]
mod files;
mod handler;
#[cfg(test)]
mod lingering;
mod model;
#[cfg(all(test, feature = "tls"))]
mod over_tls;
#[cfg(not(all(test, feature = "tls")))]
mod plain;
pub(crate) mod properties;
#[cfg(test)]
mod proxied;
#[cfg(test)]
mod replies;
mod script;
#[cfg(test)]
mod splits;
#[cfg(test)]
mod states;
#[cfg(test)]
mod unwanted;
#[cfg(test)]
mod waits;
#[cfg(test)]
mod work;
