//! The library as its users see it: handlers in memory, servers on sockets, and the examples as processes.

// A test says what must hold by panicking where it does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod admin;
#[cfg(feature = "auth")]
mod auth;
mod bodies;
mod child;
mod client;
#[path = "../common/mod.rs"]
mod common;
mod composition;
mod confinement;
mod cors;
mod cpython;
mod deferred;
mod deferred_accept;
mod error_pages;
mod errors;
mod examples;
mod failing_loops;
mod fairness;
mod fields;
mod file_threads;
mod framing;
mod full_house;
mod guarding;
mod handlers;
mod head;
mod hosts;
mod kept_pages;
mod listening_sockets;
mod listings;
mod logs;
mod memory_server;
mod names;
mod proxies;
mod regression;
mod replies;
mod running;
mod server;
mod stored_bodies;
mod stream_writers;
mod streams;
mod subscriptions;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_files;
mod unwanted;
