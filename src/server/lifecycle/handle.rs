//! Control of a server from outside its loops: from another thread, a signal or a handler.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::{Registry, Waker};

use crate::handler::mailbox::Mailbox;
use crate::server::admin::figures::{Figures, PublishedFigures};
use crate::server::event_loop::WAKER;

/// Ends a server with all of its loops, from any thread and without blocking.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    loops: Arc<[Control]>,
}

/// What one loop has been asked for, and how to wake it.
#[derive(Debug)]
struct Control {
    stop: AtomicBool,
    report: AtomicBool,
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
                figures: PublishedFigures::default(),
                waker: Arc::new(Waker::new(registry, WAKER)?),
            })
        };
        Ok(Self {
            loops: registries.map(control).collect::<io::Result<_>>()?,
        })
    }

    /// Asks the server to finish the replies in flight, close idle connections and end.
    #[doc(alias = "stop")]
    pub fn shutdown(&self) {
        self.ask(|control| &control.stop);
    }

    /// Asks every loop to print its [counters](crate::Counters) on standard error.
    pub fn report(&self) {
        self.ask(|control| &control.report);
    }

    fn ask(&self, flag: impl Fn(&Control) -> &AtomicBool) {
        for control in self.loops.iter() {
            flag(control).store(true, Ordering::Release);
            // Waking fails only where the loop has ended already.
            let _ = control.waker.wake();
        }
    }

    /// Asks every loop for its figures.
    pub(crate) fn ask_for_figures(&self) {
        for control in self.loops.iter() {
            control.figures.ask();
            // Waking fails only where the loop has ended already.
            let _ = control.waker.wake();
        }
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

    fn wake_first(&self) {
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
}
