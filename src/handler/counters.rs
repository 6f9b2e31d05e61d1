//! What a loop has counted so far: enough to tell whether it, its clients or the network is the limit.

use std::fmt;
use std::time::Duration;

/// The figures of one loop since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Requests that were answered, refusals included.
    pub requests: u64,
    /// Bytes that were handed to the kernel, heads included.
    pub bytes_sent: u64,
    /// Connections that are open now.
    pub connections: u64,
    /// The most connections that were open at a time.
    pub connections_peak: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that the handler did not want.
    pub refused: u64,
    /// Connections that the peer or the network broke off.
    pub disconnects: u64,
    /// How often accepting had to wait for descriptors.
    pub accept_pauses: u64,
    /// Writes that the socket did not take whole.
    pub partial_writes: u64,
    /// Replies with a whole file that were kept from before.
    pub cache_hits: u64,
    /// Replies that had to be made from the file.
    pub cache_misses: u64,
    /// Log lines that standard error did not take in time.
    pub log_lines_lost: u64,
    /// Turns of the loop.
    pub turns: u64,
    /// Events in all turns.
    pub events: u64,
    /// The longest turn, without its wait for events.
    pub longest_turn: Duration,
    /// Time at work.
    pub busy: Duration,
    /// Time spent waiting for events with a connection open; without any, nobody is the limit.
    pub idle: Duration,
}

impl Counters {
    /// Counts what has left, and whether the socket took only a part.
    pub(crate) fn count_write(&mut self, left: u64, is_partial: bool) {
        self.bytes_sent += left;
        self.partial_writes += u64::from(is_partial);
    }

    /// The share of its time with connections, in percent, that the loop waited for events.
    pub fn idle_percent(&self) -> f64 {
        100.0 * self.idle.as_secs_f64()
            / (self.idle + self.busy).as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// A number with one decimal; floating point would bring along 20 KiB that print it.
struct Tenths(u64);

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

/// Some lines of text for people, the last of them a verdict.
impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_turn = |count: u64| Tenths(count.saturating_mul(10) / self.turns.max(1));
        writeln!(
            f,
            "requests        {} ({} a turn)",
            self.requests,
            per_turn(self.requests)
        )?;
        writeln!(f, "bytes sent      {}", self.bytes_sent)?;
        writeln!(
            f,
            "connections     {} now, {} at most, {} accepted, {} refused, {} broken off",
            self.connections, self.connections_peak, self.accepted, self.refused, self.disconnects
        )?;
        writeln!(f, "accept pauses   {}", self.accept_pauses)?;
        writeln!(f, "partial writes  {}", self.partial_writes)?;
        writeln!(
            f,
            "cache hits      {} of {}",
            self.cache_hits,
            self.cache_hits + self.cache_misses
        )?;
        writeln!(f, "log lines lost  {}", self.log_lines_lost)?;
        writeln!(
            f,
            "turns           {} ({} events each, the longest {} ms)",
            self.turns,
            per_turn(self.events),
            Tenths(self.longest_turn.as_micros() as u64 / 100)
        )?;
        let idle = self.idle_percent().round() as u64;
        if self.requests == 0 {
            write!(f, "nobody has asked for anything")
        } else if idle < 10 {
            write!(f, "the server is the limit (idle {idle} %)")
        } else {
            write!(f, "the client or the network is the limit (idle {idle} %)")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_follows_from_where_the_time_went() {
        let seconds = Duration::from_secs;
        let counters = |busy, idle| Counters {
            requests: 1,
            busy: seconds(busy),
            idle: seconds(idle),
            ..Counters::default()
        };
        assert!(
            counters(98, 2)
                .to_string()
                .ends_with("the server is the limit (idle 2 %)")
        );
        let relaxed = counters(39, 61).to_string();
        assert!(
            relaxed.ends_with("the client or the network is the limit (idle 61 %)"),
            "{relaxed}"
        );
        assert_eq!(Counters::default().idle_percent(), 0.0);
        let unused = Counters::default().to_string();
        assert!(
            unused.ends_with("nobody has asked for anything"),
            "{unused}"
        );
    }
}
