//! A way to end a server from wherever the news comes: another thread, a signal, a handler.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mio::{Registry, Waker};

use super::event_loop::WAKER;

/// Ends a server, all of its loops, from any thread; it never blocks.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    loops: Arc<[Control]>,
}

#[derive(Debug)]
struct Control {
    stop: AtomicBool,
    waker: Waker,
}

impl ServerHandle {
    pub(crate) fn new<'a>(registries: impl Iterator<Item = &'a Registry>) -> io::Result<Self> {
        let control = |registry| {
            Ok(Control {
                stop: AtomicBool::new(false),
                waker: Waker::new(registry, WAKER)?,
            })
        };
        Ok(Self {
            loops: registries.map(control).collect::<io::Result<_>>()?,
        })
    }

    /// Asks the server to finish what is in flight, close idle connections and end.
    #[doc(alias = "stop")]
    pub fn shutdown(&self) {
        for control in self.loops.iter() {
            control.stop.store(true, Ordering::Release);
            // Waking fails only where the loop is gone already.
            let _ = control.waker.wake();
        }
    }

    pub(crate) fn is_asked(&self, index: usize) -> bool {
        self.loops
            .get(index)
            .is_some_and(|control| control.stop.load(Ordering::Acquire))
    }
}
