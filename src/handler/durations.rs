//! How long requests took: a histogram with fixed bounds.

use std::time::Duration;

const fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// The bounds of the buckets. A cached file takes microseconds, a download may take minutes.
const BOUNDS: [Duration; 17] = [
    micros(100),
    micros(500),
    micros(1_000),
    micros(5_000),
    micros(10_000),
    micros(25_000),
    micros(50_000),
    micros(100_000),
    micros(250_000),
    micros(500_000),
    micros(1_000_000),
    micros(2_500_000),
    micros(5_000_000),
    micros(10_000_000),
    micros(30_000_000),
    micros(60_000_000),
    micros(300_000_000),
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
    sum: Duration,
}

impl Durations {
    /// Returns the bounds in ascending order, each with the number of requests that took at most so long.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut sum = 0;
        BOUNDS.iter().zip(&self.buckets).map(move |(bound, count)| {
            sum += count;
            (*bound, sum)
        })
    }

    /// Returns the number of requests.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Returns the time of all requests together.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// Counts `requests` that took `duration` each.
    pub(crate) fn record(&mut self, duration: Duration, requests: u64) {
        let bucket = BOUNDS.partition_point(|bound| *bound < duration);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += requests;
        }
        let all = duration.as_nanos().saturating_mul(requests.into());
        let all = Duration::from_nanos(all.try_into().unwrap_or(u64::MAX));
        self.sum = self.sum.saturating_add(all);
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
            (micros(100), 1),
            (micros(101), 1),
            (seconds(300), 1),
            (seconds(301), 2),
        ] {
            durations.record(duration, requests);
        }
        let counts: Vec<_> = durations.cumulative().map(|(_, count)| count).collect();
        assert_eq!(counts[..2], [4, 5]);
        assert_eq!(counts[15..], [5, 6]);
        assert_eq!(durations.count(), 8);
        assert_eq!(durations.sum(), seconds(902) + micros(201));
        let mut sum = durations;
        sum.add(&durations);
        assert_eq!((sum.count(), sum.sum()), (16, durations.sum() * 2));
    }

    #[test]
    fn the_bounds_ascend() {
        assert!(BOUNDS.is_sorted_by(|a, b| a < b));
    }
}
