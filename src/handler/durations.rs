//! How long requests took: a histogram with fixed bounds.

use std::time::Duration;

/// The bounds of the buckets in microseconds. A cached file takes microseconds, a download may take minutes.
const BOUNDS: [u64; 17] = [
    100,
    500,
    1_000,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
];

/// How long requests took, from their last byte to the last byte of their reply, or to the end of a connection that broke.
///
/// The resolution is a turn of the loop: the time runs from the begin of the turn in which the request was read to the end of the turn
/// in which the kernel took the last byte. So no request counts as quicker than it was, and to count costs no look at the clock.
/// Replies to pipelined requests that leave together count as the slowest of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// Requests in each bucket; the last one has no bound.
    buckets: [u64; BOUNDS.len() + 1],
    /// In nanoseconds, which are enough for 584 years.
    sum: u64,
}

impl Durations {
    /// Returns the bounds in ascending order, each with the number of requests that took at most so long.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut sum = 0;
        BOUNDS.iter().zip(&self.buckets).map(move |(bound, count)| {
            sum += count;
            (Duration::from_micros(*bound), sum)
        })
    }

    /// Returns the number of requests.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Returns the time of all requests together.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum)
    }

    /// Counts `requests` that took `duration` each.
    #[inline]
    pub(crate) fn record(&mut self, duration: Duration, requests: u64) {
        let nanos = u64::from(duration.subsec_nanos());
        let nanos = nanos.saturating_add(duration.as_secs().saturating_mul(1_000_000_000));
        // Most turns of a loop are shorter than the first bounds.
        let bucket = BOUNDS.iter().position(|bound| nanos <= bound * 1000);
        if let Some(count) = self.buckets.get_mut(bucket.unwrap_or(BOUNDS.len())) {
            *count += requests;
        }
        self.sum = self.sum.saturating_add(nanos.saturating_mul(requests));
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (count, more) in self.buckets.iter_mut().zip(other.buckets) {
            *count += more;
        }
        self.sum = self.sum.saturating_add(other.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_is_not_below_it() {
        let mut durations = Durations::default();
        let seconds = Duration::from_secs;
        for (duration, requests) in [
            (Duration::ZERO, 3),
            (Duration::from_micros(100), 1),
            (Duration::from_micros(101), 1),
            (seconds(300), 1),
            (seconds(301), 2),
        ] {
            durations.record(duration, requests);
        }
        let counts: Vec<_> = durations.cumulative().map(|(_, count)| count).collect();
        assert_eq!(counts[..2], [4, 5]);
        assert_eq!(counts[15..], [5, 6]);
        assert_eq!(durations.count(), 8);
        assert_eq!(durations.sum(), seconds(902) + Duration::from_micros(201));
        let mut sum = durations;
        sum.add(&durations);
        assert_eq!((sum.count(), sum.sum()), (16, durations.sum() * 2));
    }

    #[test]
    fn the_bounds_ascend() {
        assert!(BOUNDS.is_sorted_by(|a, b| a < b));
    }
}
