//! Servers, clients and sites for all tests.

mod client;
mod files;
mod json;
mod mount;
mod reply;
mod server;
mod site;
#[cfg(feature = "tls")]
mod tls;
mod unix;

pub(crate) use client::{Client, get, request};
pub(crate) use files::{by_descriptor, exchange, give_name, unnamed_file};
pub(crate) use json::Json;
pub(crate) use mount::{Mount, StoppedDaemon};
pub(crate) use reply::{Reply, resolve};
pub(crate) use server::{
    Server, command, run, run_command, short_of_descriptors, unprivileged, without_warnings,
};
pub(crate) use site::{HOSTILE, Site, encode};
#[cfg(feature = "tls")]
pub(crate) use tls::{Authority, End, Handshake, HttpsServer, TlsClient};
pub(crate) use unix::{connect_unix, get_unix};

use std::thread::sleep;
use std::time::{Duration, Instant};

/// The longest time that a test waits. It only keeps a broken server from hanging the suite.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// The time after which the server keeps replies about a file that has changed, and a little more.
pub(crate) const SETTLED: Duration = Duration::from_millis(120);

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(
            started.elapsed() < TIMEOUT,
            "timed out waiting until {what}"
        );
        sleep(Duration::from_millis(2));
    }
}

/// Prints why a test, or a part of it, cannot run on this machine.
pub(crate) fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}
