//! What fstat says of a file, to tell one state of the file from another.

use std::time::Duration;

use rustix::fs::Stat;

/// After this time another change gets another time stamp: some file systems count in ticks of 10 ms.
const TICK: Duration = Duration::from_millis(40);
/// The same for file systems that store whole seconds only.
const TICK_OF_SECONDS: Duration = Duration::from_secs(3);
/// A turn of the loop is expected to be shorter. So a time stamp this far in the future is not that of a recent change.
const LONG_TURN: Duration = Duration::from_secs(10);

/// A file and its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    size: i64,
    /// Seconds and nanoseconds since 1970.
    modified: (i64, u64),
    changed: (i64, u64),
}

impl From<&Stat> for Identity {
    fn from(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

impl Identity {
    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Returns when the content was changed last, in seconds since 1970.
    pub(crate) fn last_modified(&self) -> u64 {
        u64::try_from(self.modified.0).unwrap_or(0)
    }

    /// Returns whether the mtime carries information. In reproducible images all files have 0 or 1 s.
    pub(crate) fn has_date(&self) -> bool {
        self.modified > (1, 0)
    }

    pub(crate) fn modified_nanos(&self) -> u64 {
        nanos(self.modified)
    }

    pub(crate) fn changed_nanos(&self) -> u64 {
        nanos(self.changed)
    }

    /// Returns whether the content was changed so shortly before `now` (since 1970) that its next change may get the same time.
    pub(crate) fn is_fresh(&self, now: Duration) -> bool {
        let has_seconds_only = self.modified.1 == 0 && self.changed.1 == 0;
        let tick = if has_seconds_only {
            TICK_OF_SECONDS
        } else {
            TICK
        };
        let seconds = Duration::from_secs(self.last_modified());
        let modified = seconds.saturating_add(Duration::from_nanos(self.modified.1));
        // The clock was read at the start of the turn, so the change may be later.
        modified.saturating_add(tick) >= now && modified <= now.saturating_add(LONG_TURN)
    }
}

fn nanos((seconds, nanoseconds): (i64, u64)) -> u64 {
    (seconds as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modified(seconds: i64, nanoseconds: u64) -> Identity {
        Identity {
            device: 1,
            inode: 2,
            size: 3,
            modified: (seconds, nanoseconds),
            changed: (1000, 7),
        }
    }

    #[test]
    fn an_mtime_up_to_one_second_after_the_epoch_carries_no_information() {
        let table = [(-5, false), (0, false), (1, false), (2, true)];
        for (seconds, has_date) in table {
            assert_eq!(modified(seconds, 0).has_date(), has_date, "{seconds}");
        }
        assert!(!modified(0, 999_999_999).has_date());
        assert!(modified(1, 1).has_date());
    }

    #[test]
    fn a_file_is_fresh_for_a_few_ticks_of_its_clock() {
        let fresh = |nanoseconds: u64, millis: u64| {
            modified(1000, nanoseconds).is_fresh(Duration::from_millis(1_000_000 + millis))
        };
        assert!(fresh(1, 40) && !fresh(1, 41));
        assert!(fresh(999_999_999, 0));
        let mut whole = modified(1000, 0);
        whole.changed.1 = 0;
        assert!(
            whole.is_fresh(Duration::from_secs(1003)) && !whole.is_fresh(Duration::from_secs(1004))
        );
    }
}
