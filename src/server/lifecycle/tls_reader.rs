//! The thread that reads TLS files again: a file system that hangs must not stop a loop.
//!
//! Invariant: one thread does all readings, so they never overlap, and the last one asked for is in force in the end.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::process::geteuid;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use super::handle::ServerHandle;
use crate::server::confinement::{Confined, Confinement};
use crate::wire::tls::config::TlsConfig;

/// What is known of the thread in the loops.
#[derive(Debug, Default)]
pub(crate) struct TlsReader(Mutex<ReaderState>);

#[derive(Debug, Default)]
struct ReaderState {
    /// Where the thread takes its readings from; `None` before it has started.
    readings: Option<Sender<TlsReading>>,
    /// The number of the last reload that asked for a reading.
    reload: u64,
    /// Why readings failed, until a loop writes it to standard error.
    failures: Vec<String>,
}

/// A reading of all files of a server, which is told of its end, also if the thread panics.
#[derive(Debug)]
struct TlsReading {
    configs: Vec<TlsConfig>,
    /// The thread has no other handle, so that it ends with the last one.
    handle: ServerHandle,
}

impl TlsReading {
    fn new(configs: Vec<TlsConfig>, handle: &ServerHandle) -> Self {
        let handle = handle.clone();
        handle.reading_tls();
        Self { configs, handle }
    }
}

impl Drop for TlsReading {
    fn drop(&mut self) {
        self.handle.read_tls();
    }
}

impl TlsReader {
    /// Starts the thread, confines it, and returns what is in force in it.
    pub(super) fn start(&self, confinement: Confinement) -> io::Result<Confined> {
        let (confined, result) = channel();
        let readings = spawn(move |readings| {
            // The caller waits for it below.
            let _ = confined.send(confinement.enforce_in_thread(give_up_capabilities));
            read_all(&readings);
        })?;
        self.lock().readings = Some(readings);
        let panicked = |_| io::Error::other("the thread that reads TLS files panicked");
        result.recv().map_err(panicked)
    }

    /// Has the files of `configs` read, once for each `reload`.
    pub(super) fn read(&self, reload: u64, configs: Vec<TlsConfig>, handle: &ServerHandle) {
        let mut state = self.lock();
        if configs.is_empty() || state.reload >= reload {
            return;
        }
        state.reload = reload;
        let sent = state.send(TlsReading::new(configs, handle));
        if let Err(error) = sent {
            state.failures.push(error.to_string());
        }
    }

    /// Returns, once, why readings have failed.
    pub(super) fn take_failures(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().failures)
    }

    /// Ignores poisoning: nothing panics between two changes that belong together.
    fn lock(&self) -> MutexGuard<'_, ReaderState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReaderState {
    /// Gives a reading to the thread, which is started if this is the first one.
    fn send(&mut self, reading: TlsReading) -> io::Result<()> {
        if self.readings.is_none() {
            self.readings = Some(spawn(|readings| read_all(&readings))?);
        }
        let sent = self
            .readings
            .as_ref()
            .map(|readings| readings.send(reading));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => Err(io::Error::other("the thread that reads them has panicked")),
        }
    }
}

fn spawn(
    run: impl FnOnce(Receiver<TlsReading>) + Send + 'static,
) -> io::Result<Sender<TlsReading>> {
    let (sender, readings) = channel();
    let thread = thread::Builder::new().name("httpoll-tls".to_owned());
    thread.spawn(move || run(readings))?;
    Ok(sender)
}

/// Reads what is asked for until the server is gone.
fn read_all(readings: &Receiver<TlsReading>) {
    for reading in readings {
        let failures = reading
            .configs
            .iter()
            .filter_map(|config| config.reload().err());
        for failure in failures {
            let reader = reading.handle.tls_reader();
            reader.lock().failures.push(failure.to_string());
        }
    }
}

/// Gives up what the thread was given to read files of root, because without Landlock it could read every file of the machine.
/// A thread of root stays one.
fn give_up_capabilities() {
    let none = CapabilitySet::empty();
    let sets = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    if !geteuid().is_root() {
        // Where this call is refused, so was the one that made a capability effective.
        let _ = set_capabilities(None, sets);
    }
}
