//! The program from outside: a real `httpoll` on a free port, raw bytes in, raw bytes out.
//!
//! Each file has one topic. `support/` starts servers, speaks to them over raw sockets and makes sites.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by a panic, also in the functions that it calls"
)]

#[path = "../common/mod.rs"]
mod common;
mod support;

mod admin;
mod against_python;
mod auth;
mod big_file;
mod browsers;
mod calibrate;
mod cli;
mod closing;
mod compress;
mod concurrency;
mod conditional;
mod config;
mod confinement;
mod cors;
mod draining;
mod expect;
mod failures;
mod flags;
mod framing;
mod fresh;
mod fresh_at_random;
mod hosts;
mod inherited;
mod kept;
mod listing;
mod live;
mod log;
mod logs;
mod media_types;
mod metrics;
mod names;
mod notify;
mod open;
mod paths;
mod pipelining;
mod protocol;
mod proxies;
mod range;
mod regression;
mod resume;
mod signals;
mod site;
mod slow_files;
mod spa;
mod static_files;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_files;
mod traversal;
mod unix_sockets;
mod users;
