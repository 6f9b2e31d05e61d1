//! SIGINT, SIGTERM and SIGUSR1 as events of the poll, so that a signal is one more thing that a turn of the loop sees.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mio::{Interest, Registry};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;
use signal_hook_mio::v1_0::Signals;

use super::handle::ServerHandle;
use crate::server::event_loop::SIGNALS;

/// What is done when a signal comes: it is given the signal's number.
pub(crate) type Action = Box<dyn FnMut(i32) + Send>;

pub(crate) struct ShutdownSignals {
    signals: Signals,
    action: Action,
}

impl ShutdownSignals {
    /// Takes over the signals; from now on none is lost. A second one that ends the server ends the process at once, even if the loop cannot.
    pub(crate) fn take_over(action: Action) -> io::Result<Self> {
        let signals = Signals::new([SIGINT, SIGTERM, SIGUSR1])?;
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&asked))?;
        }
        Ok(Self { signals, action })
    }

    /// Has the signals arrive at a poll, those included that came before.
    pub(crate) fn register(&mut self, registry: &Registry) -> io::Result<()> {
        registry.register(&mut self.signals, SIGNALS, Interest::READABLE)
    }

    /// Takes the signals that have come, and passes their wishes on to all loops.
    pub(crate) fn take(&mut self, handle: &ServerHandle) {
        for signal in self.signals.pending() {
            if signal == SIGUSR1 {
                handle.report();
            } else {
                (self.action)(signal);
                handle.shutdown();
            }
        }
    }
}

impl fmt::Debug for ShutdownSignals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShutdownSignals").finish_non_exhaustive()
    }
}
