//! Signals as events of the poll, so that a turn of the loop handles them like any other event: SIGINT and SIGTERM end the server,
//! SIGHUP reloads it, SIGUSR1 prints its counters, and SIGUSR2 does nothing.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mio::{Interest, Registry};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::flag;
use signal_hook_mio::v1_0::Signals;

use super::handle::ServerHandle;
use crate::server::event_loop::SIGNALS;

/// What the program does when a signal asks the server to end; it is given the signal's number.
pub(crate) type Action = Box<dyn FnMut(i32) + Send>;

/// The signals that a server has taken over.
pub(crate) struct ShutdownSignals {
    signals: Signals,
    action: Action,
}

impl ShutdownSignals {
    /// Takes over the signals; from now on none is lost, and SIGUSR2, which would end the process, does nothing. A second SIGINT or SIGTERM ends the process at once, even if the loop
    /// hangs.
    pub(crate) fn take_over(action: Action) -> io::Result<Self> {
        let signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2])?;
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&asked))?;
        }
        Ok(Self { signals, action })
    }

    /// Delivers the signals to a poll, including those that came before.
    pub(crate) fn register(&mut self, registry: &Registry) -> io::Result<()> {
        registry.register(&mut self.signals, SIGNALS, Interest::READABLE)
    }

    /// Handles the signals that have come: all loops end, reload or report.
    pub(crate) fn take(&mut self, handle: &ServerHandle) {
        for signal in self.signals.pending() {
            match signal {
                SIGHUP => handle.reload(),
                SIGUSR1 => handle.report(),
                // Other servers upgrade themselves on it; a script that is written for one of them must not end this one.
                SIGUSR2 => {}
                _ => {
                    (self.action)(signal);
                    handle.shutdown();
                }
            }
        }
    }
}

impl fmt::Debug for ShutdownSignals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShutdownSignals").finish_non_exhaustive()
    }
}
