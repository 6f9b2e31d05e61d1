//! What the loop does for its [`Administration`]: it gives it turns, and answers what only a loop of the site knows.

use std::io;
use std::sync::Arc;
use std::task::{Wake, Waker};

use super::{EventLoop, NO_CONNECTION};
use crate::handler::BaseHttpRequestHandler;
use crate::handler::ready_checks::ReadyChecks;
use crate::server::admin::Administration;
use crate::server::admin::figures::Figures;
use crate::server::lifecycle::handle::ServerHandle;
use crate::wire::file_threads::{Locality, Submitter};

/// Wakes the loop that has the administration.
struct WakeFirstLoop(ServerHandle);

impl Wake for WakeFirstLoop {
    fn wake(self: Arc<Self>) {
        self.0.wake_first();
    }
}

impl<H: BaseHttpRequestHandler> EventLoop<H> {
    /// Takes an administration in, for the first loop of a server.
    ///
    /// # Errors
    /// The poll cannot take it in.
    pub(crate) fn take_in_administration(
        &mut self,
        mut administration: Box<Administration>,
    ) -> io::Result<()> {
        administration.register(self.poll())?;
        self.administration = Some(administration);
        Ok(())
    }

    /// Gives the administration its turn, if it has something to do.
    pub(super) fn administer(&mut self) -> io::Result<()> {
        let Some(mut administration) = self.administration.take() else {
            return Ok(());
        };
        let served = self.serve_administration(&mut administration);
        self.administration = Some(administration);
        served
    }

    fn serve_administration(&mut self, administration: &mut Administration) -> io::Result<()> {
        let now = self.context().clock.instant;
        if administration.is_due(now) {
            administration.turn()?;
        }
        if self.is_draining() {
            administration.answer_readiness(&Err("draining".into()));
        } else if administration.needs_checks() {
            administration.wait_for(self.begin_checks(), now);
        }
        administration.settle_checks(now);
        let file_threads = self.context().server.file_threads();
        administration.scrape(now, &self.handle, file_threads, self.is_draining());
        Ok(())
    }

    fn is_draining(&self) -> bool {
        self.context().server.draining || self.handle.is_shutdown_requested(self.index)
    }

    /// Asks the handler whether it is ready.
    fn begin_checks(&mut self) -> ReadyChecks {
        let waker = Waker::from(Arc::new(WakeFirstLoop(self.handle.clone())));
        let context = self.context_mut();
        let file_threads = context.server.file_threads();
        // It must not wait behind requests for file servers, so it counts as a job for a local file.
        let submitter =
            file_threads.map(|threads| Submitter::new(threads, waker).with(Locality::Local));
        ReadyChecks::begin(submitter, || {
            let checked = context.hook(NO_CONNECTION, H::check_ready);
            checked.unwrap_or_else(|| Err("the check of the handler panicked".into()))
        })
    }

    /// Gives the figures of this loop if they were asked for.
    pub(super) fn give_figures(&self) {
        self.handle.give_figures(self.index, || Figures {
            counters: self.context().server.counters(),
            states: self.dispatcher.connections.states(),
            given: self.context().clock.instant,
        });
    }
}
