//! Time as the loop last read it: once a turn, and rendered once a second.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::http::date;

/// The present of one turn of the loop.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    pub(crate) instant: Instant,
    /// Seconds since 1970.
    pub(crate) unix: u64,
    /// For `Date` (RFC 9110 §5.6.7).
    pub(crate) imf_fixdate: [u8; date::IMF_LEN],
    /// For the access log.
    pub(crate) log_date: [u8; date::LOG_LEN],
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self::at(SystemTime::now())
    }

    /// A clock that stands still until it is read.
    pub(crate) fn at(time: SystemTime) -> Self {
        let unix = unix_seconds(time);
        let imf_fixdate = date::imf_fixdate(unix);
        Self {
            instant: Instant::now(),
            unix,
            imf_fixdate,
            log_date: date::log_date(&imf_fixdate),
        }
    }

    /// Reads both clocks of the machine: the steady one for deadlines, the other for dates.
    pub(crate) fn read(&mut self) {
        self.instant = Instant::now();
        let unix = unix_seconds(SystemTime::now());
        if unix != self.unix {
            self.unix = unix;
            self.imf_fixdate = date::imf_fixdate(unix);
            self.log_date = date::log_date(&self.imf_fixdate);
        }
    }
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}
