//! A way to end a server from wherever the news comes: another thread, a signal, a handler.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::{Registry, Waker};

use crate::handler::mailbox::Mailbox;
use crate::server::event_loop::WAKER;

/// Ends a server, all of its loops, from any thread; it never blocks.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    loops: Arc<[Control]>,
}

#[derive(Debug)]
struct Control {
    stop: AtomicBool,
    report: AtomicBool,
    waker: Arc<Waker>,
}

impl ServerHandle {
    pub(crate) fn new<'a>(registries: impl Iterator<Item = &'a Registry>) -> io::Result<Self> {
        let control = |registry| {
            Ok(Control {
                stop: AtomicBool::new(false),
                report: AtomicBool::new(false),
                waker: Arc::new(Waker::new(registry, WAKER)?),
            })
        };
        Ok(Self {
            loops: registries.map(control).collect::<io::Result<_>>()?,
        })
    }

    /// Asks the server to finish what is in flight, close idle connections and end.
    #[doc(alias = "stop")]
    pub fn shutdown(&self) {
        self.ask(|control| &control.stop);
    }

    /// Asks every loop to print its [counters](crate::Counters) on standard error.
    pub fn report(&self) {
        self.ask(|control| &control.report);
    }

    fn ask(&self, wish: impl Fn(&Control) -> &AtomicBool) {
        for control in self.loops.iter() {
            wish(control).store(true, Ordering::Release);
            // Waking fails only where the loop is gone already.
            let _ = control.waker.wake();
        }
    }

    /// How many loops there are.
    pub(crate) fn loops(&self) -> usize {
        self.loops.len()
    }

    /// Makes the mailbox of loop number `index`.
    pub(crate) fn mailbox(&self, index: usize) -> Arc<Mailbox> {
        let waker = self
            .loops
            .get(index)
            .map(|control| Arc::clone(&control.waker));
        Mailbox::new(move || {
            // Waking fails only where the loop is gone already.
            let _ = waker.as_ref().map(|waker| waker.wake());
        })
    }

    pub(crate) fn is_asked(&self, index: usize) -> bool {
        self.loops
            .get(index)
            .is_some_and(|control| control.stop.load(Ordering::Acquire))
    }

    /// Whether a report was asked for since this was asked last.
    pub(crate) fn is_report_due(&self, index: usize) -> bool {
        self.loops
            .get(index)
            .is_some_and(|control| control.report.swap(false, Ordering::AcqRel))
    }
}
