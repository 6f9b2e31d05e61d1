//! Time as the loop last read it, once a turn and rendered once a second; and the epoch of the requests that it has read.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::http::date::{self, ImfFixdate};

/// The present of one turn of the loop.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    pub(crate) instant: Instant,
    epoch: Cell<u64>,
    pub(crate) since_1970: Duration,
    /// The same in whole seconds.
    pub(crate) unix: u64,
    /// For `Date` (RFC 9110 §5.6.7).
    pub(crate) imf_fixdate: ImfFixdate,
    /// For the access log.
    pub(crate) log_date: [u8; date::LOG_LEN],
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self::at(SystemTime::now())
    }

    /// A clock that stands still until it is read.
    pub(crate) fn at(time: SystemTime) -> Self {
        let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let unix = since_1970.as_secs();
        let imf_fixdate = date::imf_fixdate(unix);
        let log_date = date::log_date(imf_fixdate.as_bytes());
        Self {
            instant: Instant::now(),
            epoch: Cell::new(next_epoch()),
            since_1970,
            unix,
            imf_fixdate,
            log_date,
        }
    }

    /// Returns the number of this epoch, which no other epoch of any loop has.
    ///
    /// An epoch begins when requests have been read and before the first of them is answered. A look at the file system
    /// within the epoch is therefore later than each of its requests, and one look serves them all.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.get()
    }

    /// Begins another epoch: a request has been read, or one has been answered that may have changed files.
    pub(crate) fn begin_epoch(&self) {
        self.epoch.set(next_epoch());
    }

    /// Reads both clocks of the machine: the steady one for deadlines, the other for dates.
    pub(crate) fn read(&mut self) {
        self.instant = Instant::now();
        self.since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        if self.unix != self.since_1970.as_secs() {
            self.unix = self.since_1970.as_secs();
            self.imf_fixdate = date::imf_fixdate(self.unix);
            self.log_date = date::log_date(self.imf_fixdate.as_bytes());
        }
    }
}

fn next_epoch() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
