//! What a loop does for a reload: it opens the log file again, and has TLS files read again.

use super::EventLoop;
use crate::handler::BaseHttpRequestHandler;

impl<H: BaseHttpRequestHandler> EventLoop<H> {
    /// Acts on the last reload that was asked for.
    pub(super) fn reload(&mut self) {
        let reloads = self.handle.reloads();
        self.context_mut().log.reopen(reloads);
        // The files count as being read before this loop counts as reloaded, so the service manager hears of the end of both.
        #[cfg(feature = "tls")]
        self.handle
            .reload_tls(reloads, self.admission.tls_configs());
        self.handle.reloaded(self.index);
    }

    /// Writes to standard error which TLS files could not be read again.
    #[cfg(feature = "tls")]
    pub(super) fn report_tls_failures(&mut self) {
        for failure in self.handle.take_tls_failures() {
            let failure = format_args!("httpoll: the TLS files are not reloaded: {failure}\n");
            self.context_mut().log.text(failure);
        }
    }
}
