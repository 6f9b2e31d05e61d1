//! The clock of a loop: the time, which the loop reads once a turn and renders as text once a second; and the epoch, which
//! says when files have to be checked for changes again.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::http::date::{self, ImfFixdate};

/// The time of one turn of the loop.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    pub(crate) instant: Instant,
    epoch: Cell<u64>,
    pub(crate) since_1970: Duration,
    /// `since_1970` in whole seconds.
    pub(crate) unix: u64,
    /// The time as the `Date` field has it (RFC 9110 §5.6.7).
    pub(crate) imf_fixdate: ImfFixdate,
    /// The time as the access log has it.
    pub(crate) log_date: [u8; date::LOG_LEN],
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self::at(SystemTime::now())
    }

    /// Returns a clock that shows `time` until it is read.
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

    /// Returns the number of the epoch. No other epoch of any loop has this number.
    ///
    /// An epoch begins after requests have been read and before the first of them is answered. A check of the file system in
    /// the epoch is therefore later than each of its requests, and one check is enough for all of them.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.get()
    }

    /// Begins another epoch, after requests have been read, or after a request has been answered that may have changed files.
    pub(crate) fn begin_epoch(&self) {
        self.epoch.set(next_epoch());
    }

    /// Reads both clocks of the machine: the monotonic clock for deadlines, the system time for dates.
    // Inlined into the loop of the site; that of the administration is the other caller, and rare.
    #[inline(always)]
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
