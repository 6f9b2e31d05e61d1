//! SIGINT and SIGTERM as events of the poll, so that a signal is one more thing that a turn of the loop sees.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mio::{Interest, Registry};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook_mio::v1_0::Signals;

use super::event_loop::SIGNALS;

/// What is done when a signal comes: it is given the signal's number.
pub(crate) type Action = Box<dyn FnMut(i32)>;

pub(crate) struct ShutdownSignals {
    signals: Signals,
    action: Action,
}

impl ShutdownSignals {
    /// Takes over both signals. A second one ends the process at once, even if the loop cannot.
    pub(crate) fn register(registry: &Registry, action: Action) -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&asked))?;
        }
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        registry.register(&mut signals, SIGNALS, Interest::READABLE)?;
        Ok(Self { signals, action })
    }

    /// Takes the signals that have come; says whether there was one.
    pub(crate) fn take(&mut self) -> bool {
        let mut came = false;
        for signal in self.signals.pending() {
            (self.action)(signal);
            came = true;
        }
        came
    }
}

impl fmt::Debug for ShutdownSignals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShutdownSignals").finish_non_exhaustive()
    }
}
