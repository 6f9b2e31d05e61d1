//! The counters of a loop. They tell whether the loop, its clients or the network limits the speed.

use std::fmt;
use std::time::Duration;

use super::durations::Durations;
use super::request_counts::RequestCounts;
use crate::http::status::HttpStatus;
use crate::wire::file_threads::FileThreadFigures;

/// The counters of one loop since its start. Its `Display` is the report of `--report`, several lines for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Requests that were answered, refusals included.
    pub requests: u64,
    /// The same requests by method and status. A request that was refused for its syntax counts with the method `other`.
    pub requests_by: RequestCounts,
    /// How long the requests took whose reply has left, or broke off.
    pub durations: Durations,
    /// Bytes of replies that the kernel took, heads included.
    pub bytes_sent: u64,
    /// Connections that are open now.
    pub connections: u64,
    /// The largest number of connections that were open at the same time.
    pub connections_peak: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that the handler did not accept (`verify_request`), or that one client had too many of.
    pub refused: u64,
    /// Connections that ended by an error of the socket, such as a reset by the peer.
    pub disconnects: u64,
    /// Handshakes of TLS that were completed.
    pub tls_handshakes: u64,
    /// Those of them that resumed an earlier session.
    pub tls_handshakes_resumed: u64,
    /// Handshakes of TLS that failed or were not completed.
    pub tls_handshakes_failed: u64,
    /// Connections that were closed to make room for another one at the limit on connections.
    pub evicted_for_connections: u64,
    /// Connections that were closed because no descriptor was left for another one.
    pub evicted_for_descriptors: u64,
    /// Connections that were closed at the limit on the memory of begun requests.
    pub evicted_for_request_memory: u64,
    /// Connections that were closed at the limit on the memory of unread replies.
    pub evicted_for_reply_memory: u64,
    /// Times that accepting stopped to wait for free descriptors.
    pub accept_pauses: u64,
    /// Writes of which the socket took only a part.
    pub partial_writes: u64,
    /// Replies that came from the cache.
    pub cache_hits: u64,
    /// Replies that were made from a file because the cache did not have them.
    pub cache_misses: u64,
    /// Replies that are in the cache now: small files, small listings, 404s, and the heads of large files.
    pub cache_entries: u64,
    /// Bytes of memory that these replies take.
    pub cache_bytes: u64,
    /// Files, directories and symbolic links that the kernel watches for the cache now.
    pub watches: u64,
    /// Listings that were refused with 503 because the memory for listings was used up.
    pub listings_refused: u64,
    /// Log lines that were dropped because standard error or the log file did not take them.
    pub log_lines_lost: u64,
    /// Turns of the loop.
    pub turns: u64,
    /// Events in all turns.
    pub events: u64,
    /// Duration of the longest turn, without its wait for events.
    pub longest_turn: Duration,
    /// Time of all turns, without their waits for events.
    pub busy: Duration,
    /// Time of waiting for events while a connection was open. Waiting without connections counts nowhere.
    pub idle: Duration,
}

impl Counters {
    /// Counts a request with the status of its reply; `None` stands for no reply.
    #[inline(always)]
    pub(crate) fn count_request(&mut self, method: &str, status: Option<HttpStatus>) {
        self.requests += 1;
        self.requests_by.count(method, status);
    }

    /// Counts a write of which the socket took `left` bytes.
    pub(crate) fn count_write(&mut self, left: u64, is_partial: bool) {
        self.bytes_sent += left;
        self.partial_writes += u64::from(is_partial);
    }

    /// Returns the share of [`idle`](Self::idle) in the sum of idle and [`busy`](Self::busy) time, in percent.
    pub fn idle_percent(&self) -> f64 {
        100.0 * self.idle.as_secs_f64()
            / (self.idle + self.busy).as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// The figures of the file threads as one line of the report; `None` where there are no such threads.
pub(crate) struct FileThreadsText(pub(crate) Option<FileThreadFigures>);

impl fmt::Display for FileThreadsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(figures) = &self.0 else {
            return f.write_str("none");
        };
        write!(
            f,
            "{}: {} busy, {} lost; {} jobs done, {} queued, {} refused; the longest waited {} ms",
            figures.idle + figures.busy + figures.lost,
            figures.busy,
            figures.lost,
            figures.done,
            figures.queued,
            figures.refused,
            Tenths(figures.longest_wait.as_micros() as u64 / 100)
        )
    }
}

/// A number of tenths, printed with one decimal. Printing floating point would add 20 KiB of code.
struct Tenths(u64);

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 10, self.0 % 10)
    }
}

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
        if self.tls_handshakes + self.tls_handshakes_failed > 0 {
            writeln!(
                f,
                "TLS handshakes  {}, {} of them resumed; {} failed",
                self.tls_handshakes, self.tls_handshakes_resumed, self.tls_handshakes_failed
            )?;
        }
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
            write!(f, "no request was answered")
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
    fn the_report_has_a_line_about_file_threads() {
        assert_eq!(FileThreadsText(None).to_string(), "none");
        let figures = FileThreadFigures {
            idle: 1,
            busy: 2,
            lost: 3,
            queued: 4,
            done: 5,
            refused: 6,
            longest_wait: Duration::from_micros(7_890),
        };
        assert_eq!(
            FileThreadsText(Some(figures)).to_string(),
            "6: 2 busy, 3 lost; 5 jobs done, 4 queued, 6 refused; the longest waited 7.8 ms"
        );
    }

    #[test]
    fn the_last_line_of_the_report_names_the_limit() {
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
        assert!(unused.ends_with("no request was answered"), "{unused}");
    }
}
