//! Whether the served directory can be reached. The log gets a line each time this changes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::names::root::Root;
use crate::handler::exchange::Exchange;
use crate::http::status::HttpStatus;

const REACHED: u8 = 0;
/// The served path leads nowhere.
const GONE: u8 = 1;
/// The process is confined, and may not read what the served path leads to now.
const OUT_OF_REACH: u8 = 2;

/// What any of the loops found last.
#[derive(Clone, Debug, Default)]
pub(super) struct Access(Arc<AtomicU8>);

impl Access {
    /// Notes that the served path leads to a directory.
    pub(super) fn note_found(&self, exchange: &mut Exchange<'_>, root: &Root) {
        if self.0.load(Ordering::Relaxed) == GONE {
            self.note_back(exchange, root);
        }
    }

    /// Notes that something in the served directory could be opened.
    pub(super) fn note_reached(&self, exchange: &mut Exchange<'_>, root: &Root) {
        if self.0.load(Ordering::Relaxed) != REACHED {
            self.note_back(exchange, root);
        }
    }

    fn note_back(&self, exchange: &mut Exchange<'_>, root: &Root) {
        if self.0.swap(REACHED, Ordering::Relaxed) != REACHED {
            exchange.log_message(&format!("{root} can be served again"));
        }
    }

    /// Notes that the served path leads nowhere.
    pub(super) fn note_gone(&self, exchange: &mut Exchange<'_>, root: &Root, error: &io::Error) {
        if self.0.swap(GONE, Ordering::Relaxed) != GONE {
            exchange.log_message(&format!("{root} cannot be served: {error}"));
        }
    }

    /// Replies that the server has to be started again before it can read what the served path leads to now.
    pub(super) fn send_out_of_reach(&self, exchange: &mut Exchange<'_>, root: &Root) {
        if self.0.swap(OUT_OF_REACH, Ordering::Relaxed) != OUT_OF_REACH {
            exchange.log_message(&format!(
                "{root} was replaced, and the confinement of this process does not cover the new one: restart the server"
            ));
        }
        exchange.send_error(
            HttpStatus::SERVICE_UNAVAILABLE,
            Some("The served path was replaced"),
            Some(
                "This server may only read the files that it was started with. It has to be restarted.",
            ),
        );
    }
}
