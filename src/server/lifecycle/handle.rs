//! Control of a server from outside its loops: from another thread, a signal or a handler.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mio::{Registry, Waker};

use super::notifier::Notifier;
#[cfg(feature = "tls")]
use super::tls_reader::TlsReader;
use crate::handler::mailbox::Mailbox;
use crate::server::admin::figures::{Figures, PublishedFigures};
#[cfg(feature = "tls")]
use crate::server::confinement::{Confined, Confinement};
use crate::server::event_loop::WAKER;
#[cfg(feature = "tls")]
use crate::wire::tls::config::TlsConfig;

/// Controls a server with all of its loops, from any thread and without blocking.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    loops: Arc<[Control]>,
    notifier: Arc<OnceLock<Notifier>>,
    /// How often a reload was asked for. All loops count alike, so that one of them acts for all.
    reloads: Arc<AtomicU64>,
    #[cfg(feature = "tls")]
    tls_reader: Arc<TlsReader>,
}

/// What one loop has been asked for, and how to wake it.
#[derive(Debug)]
struct Control {
    stop: AtomicBool,
    report: AtomicBool,
    reload: AtomicBool,
    figures: PublishedFigures,
    waker: Arc<Waker>,
}

impl ServerHandle {
    /// Makes the handle of the loops with these registries.
    pub(crate) fn new<'a>(registries: impl Iterator<Item = &'a Registry>) -> io::Result<Self> {
        let control = |registry| {
            Ok(Control {
                stop: AtomicBool::new(false),
                report: AtomicBool::new(false),
                reload: AtomicBool::new(false),
                figures: PublishedFigures::default(),
                waker: Arc::new(Waker::new(registry, WAKER)?),
            })
        };
        Ok(Self {
            loops: registries.map(control).collect::<io::Result<_>>()?,
            notifier: Arc::default(),
            reloads: Arc::default(),
            #[cfg(feature = "tls")]
            tls_reader: Arc::default(),
        })
    }

    /// Asks the server to end without losing a request, in these stages:
    ///
    /// 1. For [`ServerConfig::drain_delay`](crate::ServerConfig::drain_delay) it serves as before, but every reply ends its connection.
    /// 2. It stops listening. Clients that have connected are still answered, and idle connections close; those without a reply so
    ///    far, or with the last one in the 300 ms before, stay open for 300 ms, because a request may be on its way.
    /// 3. Replies in flight have until [`ServerConfig::drain_timeout`](crate::ServerConfig::drain_timeout) after the second stage began.
    ///
    #[doc(alias = "stop")]
    pub fn shutdown(&self) {
        self.notify(Notifier::stopping);
        self.ask(|control| &control.stop);
    }

    /// Tells whether a shutdown was requested: clients should go to another server.
    pub fn is_draining(&self) -> bool {
        (0..self.loops.len()).any(|index| self.is_shutdown_requested(index))
    }

    /// Asks every loop to print its [counters](crate::Counters) on standard error.
    pub fn report(&self) {
        self.ask(|control| &control.report);
    }

    /// Opens the [log file](crate::LogFile) again, after it was renamed, and reads the files of every `TlsConfig` again.
    ///
    /// Lines that wait by then go to the old file. If a file cannot be opened or used, the old one stays in use, and a line on standard
    /// error says so. A thread called `httpoll-tls` reads TLS files, and connections that are made after it use what it has read; no
    /// connection is lost.
    pub fn reload(&self) {
        self.notify(Notifier::reloading);
        self.reloads.fetch_add(1, Ordering::AcqRel);
        self.ask(|control| &control.reload);
    }

    /// Starts the thread that reads TLS files again for [`reload`](Self::reload), in a `confinement` of its own and with the rights that the
    /// calling thread has now. Without this call, the first reload starts it with the rights of a loop.
    ///
    /// So the loops need no right to read private keys, and a server that gives up a user or a capability can keep that right in this
    /// thread alone. Returns what is in force in the thread. If Landlock is not, and the user is not root, the thread gives up its
    /// capabilities, which could read every file of the machine.
    ///
    /// ```no_run
    /// use std::fs::File;
    ///
    /// use httpoll::{BaseHttpRequestHandler, CertificateFiles, Confinement, HttpServer, TlsConfig};
    ///
    /// struct Nothing;
    /// impl BaseHttpRequestHandler for Nothing {}
    ///
    /// let tls = TlsConfig::from_files([CertificateFiles::new("/etc/site/cert.pem")])?;
    /// let mut server = HttpServer::bind_tls("[::]:443", Nothing, &tls)?;
    /// let mut reading = Confinement::new().only_serving();
    /// for directory in tls.directories()? {
    ///     reading = reading.read_files_below(File::open(directory)?);
    /// }
    /// server.handle().start_tls_reader(reading)?;
    /// Confinement::new().only_serving().enforce();
    /// server.serve_forever()
    /// # ; Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// The thread cannot start.
    #[cfg(feature = "tls")]
    pub fn start_tls_reader(&self, confinement: Confinement) -> io::Result<Confined> {
        self.tls_reader.start(confinement)
    }

    /// Has TLS files read again for reload number `reload`, if no other loop has asked for it.
    #[cfg(feature = "tls")]
    pub(crate) fn reload_tls(&self, reload: u64, configs: Vec<TlsConfig>) {
        self.tls_reader.read(reload, configs, self);
    }

    #[cfg(feature = "tls")]
    pub(super) fn tls_reader(&self) -> &TlsReader {
        &self.tls_reader
    }

    /// Notes that TLS files are going to be read.
    #[cfg(feature = "tls")]
    pub(super) fn reading_tls(&self) {
        self.notify(Notifier::reading);
    }

    /// Notes that TLS files have been read, and gives the loops a turn to say what went wrong.
    #[cfg(feature = "tls")]
    pub(super) fn read_tls(&self) {
        self.notify(Notifier::has_read);
        self.wake();
    }

    /// Returns, once, why TLS files could not be read again.
    #[cfg(feature = "tls")]
    pub(crate) fn take_tls_failures(&self) -> Vec<String> {
        self.tls_reader.take_failures()
    }

    /// Tells the service manager of this server from now on.
    pub(crate) fn set_notifier(&self, notifier: Notifier) {
        // A second one would be for the same service manager.
        let _ = self.notifier.set(notifier);
    }

    /// Whether there is a service manager to tell.
    pub(crate) fn has_notifier(&self) -> bool {
        self.notifier.get().is_some()
    }

    /// Shows that loop number `index` is alive; returns after how long it has to do so again.
    pub(crate) fn beat(&self, index: usize) -> Option<Duration> {
        self.notifier.get()?.beat(index)
    }

    /// Notes that loop number `index` has reloaded.
    pub(crate) fn reloaded(&self, index: usize) {
        self.notify(|notifier| notifier.reloaded(index));
    }

    /// Notes that loop number `index` has ended.
    pub(crate) fn ended(&self, index: usize) {
        self.notify(|notifier| notifier.ended(index));
    }

    fn notify(&self, tell: impl FnOnce(&Notifier)) {
        if let Some(notifier) = self.notifier.get() {
            tell(notifier);
        }
    }

    /// Returns how often a reload was asked for.
    pub(crate) fn reloads(&self) -> u64 {
        self.reloads.load(Ordering::Acquire)
    }

    fn ask(&self, flag: impl Fn(&Control) -> &AtomicBool) {
        for control in self.loops.iter() {
            flag(control).store(true, Ordering::Release);
        }
        self.wake();
    }

    fn wake(&self) {
        for control in self.loops.iter() {
            // Waking fails only where the loop has ended already.
            let _ = control.waker.wake();
        }
    }

    /// Asks every loop for its figures.
    pub(crate) fn ask_for_figures(&self) {
        for control in self.loops.iter() {
            control.figures.ask();
        }
        self.wake();
    }

    /// Asks loop number `index` for its figures, which it is about to give for the last time.
    pub(crate) fn ask_for_figures_of(&self, index: usize) {
        if let Some(control) = self.loops.get(index) {
            control.figures.ask();
        }
    }

    /// Whether every loop that runs has given the figures that it was asked for last.
    pub(crate) fn has_all_figures(&self) -> bool {
        let mut loops = self.loops.iter();
        loops.all(|control| control.figures.are_given())
    }

    /// Returns the figures that each loop has given last.
    pub(crate) fn figures(&self) -> Vec<Figures> {
        let loops = self.loops.iter();
        loops.map(|control| control.figures.last()).collect()
    }

    /// Gives the figures of loop number `index` if they were asked for, and tells the first loop.
    pub(crate) fn give_figures(&self, index: usize, figures: impl FnOnce() -> Figures) {
        let control = self.loops.get(index);
        if control.is_some_and(|control| control.figures.give(figures)) {
            self.wake_first();
        }
    }

    /// Notes that loop number `index` has ended, with its last figures unless it failed.
    pub(crate) fn note_end(&self, index: usize) {
        if let Some(control) = self.loops.get(index) {
            control.figures.end();
            self.wake_first();
        }
    }

    /// Whether all loops but the first have ended.
    pub(crate) fn is_first_alone(&self) -> bool {
        let mut others = self.loops.iter().skip(1);
        others.all(|control| control.figures.have_ended())
    }

    /// Gives the first loop a turn.
    pub(crate) fn wake_first(&self) {
        if let Some(first) = self.loops.first() {
            // Waking fails only where the loop has ended already.
            let _ = first.waker.wake();
        }
    }

    /// Returns how many loops there are.
    pub(crate) fn loops(&self) -> usize {
        self.loops.len()
    }

    /// Makes the mailbox of loop number `index`: a message in it wakes the loop.
    pub(crate) fn mailbox(&self, index: usize) -> Arc<Mailbox> {
        let waker = self
            .loops
            .get(index)
            .map(|control| Arc::clone(&control.waker));
        Mailbox::new(move || {
            // Waking fails only where the loop has ended already.
            let _ = waker.as_ref().map(|waker| waker.wake());
        })
    }

    /// Whether loop number `index` has been asked to end.
    pub(crate) fn is_shutdown_requested(&self, index: usize) -> bool {
        self.loops
            .get(index)
            .is_some_and(|control| control.stop.load(Ordering::Acquire))
    }

    /// Whether a report was asked for since the last call.
    pub(crate) fn take_report_request(&self, index: usize) -> bool {
        self.loops
            .get(index)
            .is_some_and(|control| control.report.swap(false, Ordering::AcqRel))
    }

    /// Whether a reload was asked for since the last call.
    pub(crate) fn take_reload_request(&self, index: usize) -> bool {
        self.loops
            .get(index)
            .is_some_and(|control| control.reload.swap(false, Ordering::AcqRel))
    }
}
