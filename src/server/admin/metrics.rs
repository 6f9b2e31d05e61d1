//! The metrics: their names, what they mean, and their values. docs/metrics.md has the same table.
//!
//! Names follow the conventions of Prometheus: base units, `_total` for counters, and the `process_` metrics of its clients.

use std::time::Instant;

use super::figures::{ConnectionStates, Figures};
use super::process::ProcessFigures;
use super::text::{Exposition, Format, Kind, Seconds};
use crate::handler::counters::Counters;
use crate::handler::durations::Durations;
use crate::handler::request_counts::RequestCounts;
use crate::wire::file_threads::FileThreadFigures;

/// Classes of statuses that GET and HEAD are shown with before they occur, so that rates can be computed from the start.
const USUAL: [u8; 4] = [2, 3, 4, 5];

/// All that `/metrics` shows.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) loops: Vec<Figures>,
    /// All loops share the file threads, so these are no sum.
    pub(super) file_threads: FileThreadFigures,
    pub(super) process: ProcessFigures,
    pub(super) is_draining: bool,
    pub(super) now: Instant,
}

type Value = fn(&Counters) -> u64;
type StateCount = fn(&ConnectionStates) -> u64;

/// Counters of the whole server without labels.
const COUNTERS: [(&str, &str, Value); 12] = [
    (
        "httpoll_sent_bytes_total",
        "Bytes of replies that the kernel took, heads included.",
        |counters| counters.bytes_sent,
    ),
    (
        "httpoll_connections_accepted_total",
        "Connections that were accepted.",
        |counters| counters.accepted,
    ),
    (
        "httpoll_connections_refused_total",
        "Connections closed without a reply: the handler refused them, or one client had too many.",
        |counters| counters.refused,
    ),
    (
        "httpoll_connections_broken_total",
        "Connections that ended by an error of the socket, such as a reset by the peer.",
        |counters| counters.disconnects,
    ),
    (
        "httpoll_tls_handshakes_total",
        "Handshakes of TLS that were completed.",
        |counters| counters.tls_handshakes,
    ),
    (
        "httpoll_tls_handshakes_resumed_total",
        "Handshakes of TLS that resumed an earlier session.",
        |counters| counters.tls_handshakes_resumed,
    ),
    (
        "httpoll_tls_handshakes_failed_total",
        "Handshakes of TLS that failed or were not completed.",
        |counters| counters.tls_handshakes_failed,
    ),
    (
        "httpoll_accept_pauses_total",
        "Times that accepting stopped because there was no room or no descriptor.",
        |counters| counters.accept_pauses,
    ),
    (
        "httpoll_cache_hits_total",
        "Replies that came from the cache.",
        |counters| counters.cache_hits,
    ),
    (
        "httpoll_cache_misses_total",
        "Replies made from a file because the cache did not have them.",
        |counters| counters.cache_misses,
    ),
    (
        "httpoll_listings_refused_total",
        "Listings refused with 503 because the memory for listings was used up.",
        |counters| counters.listings_refused,
    ),
    (
        "httpoll_log_lines_lost_total",
        "Log lines that were dropped because their reader did not take them.",
        |counters| counters.log_lines_lost,
    ),
];

/// Gauges of the whole server without labels.
const GAUGES: [(&str, &str, Value); 3] = [
    (
        "httpoll_cache_entries",
        "Replies that are in the cache.",
        |counters| counters.cache_entries,
    ),
    (
        "httpoll_cache_bytes",
        "Bytes of memory that the cache takes.",
        |counters| counters.cache_bytes,
    ),
    (
        "httpoll_watches",
        "Files and directories that the kernel watches for the cache.",
        |counters| counters.watches,
    ),
];

const EVICTIONS: [(&str, Value); 4] = [
    ("connections", |counters| counters.evicted_for_connections),
    ("descriptors", |counters| counters.evicted_for_descriptors),
    ("request_memory", |counters| {
        counters.evicted_for_request_memory
    }),
    ("reply_memory", |counters| counters.evicted_for_reply_memory),
];

const STATES: [(&str, StateCount); 5] = [
    ("idle", |states| states.idle),
    ("reading", |states| states.reading),
    ("waiting", |states| states.waiting),
    ("sending", |states| states.sending),
    ("lingering", |states| states.lingering),
];

impl Scrape {
    /// Returns all metrics in this format.
    pub(super) fn text(&self, format: Format) -> String {
        let mut out = Exposition::new(format);
        self.requests(&mut out);
        self.connections(&mut out);
        for (name, help, value) in COUNTERS {
            out.family(Kind::Counter, name, help);
            out.sample(&[], self.sum(value));
        }
        for (name, help, value) in GAUGES {
            out.family(Kind::Gauge, name, help);
            out.sample(&[], self.sum(value));
        }
        self.file_threads(&mut out);
        self.loops(&mut out);
        self.server(&mut out);
        self.process(&mut out);
        out.finish()
    }

    fn sum(&self, value: Value) -> u64 {
        let loops = self.loops.iter();
        loops.map(|figures| value(&figures.counters)).sum()
    }

    fn requests(&self, out: &mut Exposition) {
        let mut counts = RequestCounts::default();
        let mut durations = Durations::default();
        for Figures { counters, .. } in &self.loops {
            counts.add(&counters.requests_by);
            durations.add(&counters.durations);
        }
        out.family(
            Kind::Counter,
            "httpoll_requests_total",
            "Requests that were answered, refusals included, by method and class of the status.",
        );
        for (method, class, count) in counts.iter() {
            let is_usual = ["GET", "HEAD"].contains(&method) && USUAL.contains(&class);
            if count > 0 || is_usual {
                let code = match class {
                    0 => "none".to_owned(),
                    class => format!("{class}xx"),
                };
                out.sample(&[("method", method), ("code", &code)], count);
            }
        }
        out.family(
            Kind::Histogram,
            "httpoll_request_duration_seconds",
            "Time from a request to the last byte of its reply; the resolution is a turn of the loop.",
        );
        for (bound, count) in durations.cumulative() {
            out.part("_bucket", &[("le", &Seconds(bound).to_string())], count);
        }
        out.part("_bucket", &[("le", "+Inf")], durations.count());
        out.part("_sum", &[], Seconds(durations.sum()));
        out.part("_count", &[], durations.count());
    }

    fn connections(&self, out: &mut Exposition) {
        out.family(
            Kind::Gauge,
            "httpoll_connections",
            "Connections that are open, by what they do.",
        );
        for (state, value) in STATES {
            let sum: u64 = self.loops.iter().map(|one| value(&one.states)).sum();
            out.sample(&[("state", state)], sum);
        }
        out.family(
            Kind::Counter,
            "httpoll_connections_evicted_total",
            "Connections closed to make room, by what there was not enough of.",
        );
        for (reason, value) in EVICTIONS {
            out.sample(&[("reason", reason)], self.sum(value));
        }
    }

    fn file_threads(&self, out: &mut Exposition) {
        let figures = &self.file_threads;
        out.family(
            Kind::Gauge,
            "httpoll_file_threads",
            "Threads that wait for file systems, by what they do.",
        );
        for (state, count) in [
            ("idle", figures.idle),
            ("busy", figures.busy),
            ("lost", figures.lost),
        ] {
            out.sample(&[("state", state)], count);
        }
        let mut total = |kind, name, help, count| {
            out.family(kind, name, help);
            out.sample(&[], count);
        };
        let help = "Jobs that wait for a file thread.";
        total(Kind::Gauge, "httpoll_file_queue", help, figures.queued);
        let help = "Jobs that file threads have done.";
        total(Kind::Counter, "httpoll_file_jobs_total", help, figures.done);
        let help = "Jobs refused because all file threads were lost or the queue was full.";
        let name = "httpoll_file_jobs_refused_total";
        total(Kind::Counter, name, help, figures.refused);
        out.family(
            Kind::Gauge,
            "httpoll_file_longest_wait_seconds",
            "Longest time from the request of a job to its result since the start; jobs without a result count, too.",
        );
        out.sample(&[], Seconds(figures.longest_wait));
    }

    fn loops(&self, out: &mut Exposition) {
        let each = |out: &mut Exposition, value: &dyn Fn(&Figures) -> Seconds| {
            for (number, figures) in (1..).zip(&self.loops) {
                let number: usize = number;
                out.sample(&[("loop", &number.to_string())], value(figures));
            }
        };
        out.family(
            Kind::Counter,
            "httpoll_loop_busy_seconds_total",
            "Time of the turns of a loop, without their waits for events.",
        );
        each(out, &|figures| Seconds(figures.counters.busy));
        out.family(
            Kind::Gauge,
            "httpoll_loop_figures_age_seconds",
            "Age of what a loop has counted; it grows where a loop hangs or has ended.",
        );
        each(out, &|figures| {
            Seconds(self.now.saturating_duration_since(figures.given))
        });
    }

    fn server(&self, out: &mut Exposition) {
        out.family(
            Kind::Gauge,
            "httpoll_draining",
            "1 while the server finishes its replies before it ends, otherwise 0.",
        );
        out.sample(&[], u8::from(self.is_draining));
        out.family(
            Kind::Gauge,
            "httpoll_build_info",
            "Always 1; the label has the version.",
        );
        out.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    }

    fn process(&self, out: &mut Exposition) {
        if let Some(stat) = &self.process.stat {
            out.family(
                Kind::Counter,
                "process_cpu_seconds_total",
                "Processor time of the process, user and system.",
            );
            out.sample(&[], Seconds(stat.cpu));
            for (name, help, bytes) in [
                (
                    "process_resident_memory_bytes",
                    "Memory of the process that is in use.",
                    stat.resident_bytes,
                ),
                (
                    "process_virtual_memory_bytes",
                    "Addresses of the process that are mapped.",
                    stat.virtual_bytes,
                ),
            ] {
                out.family(Kind::Gauge, name, help);
                out.sample(&[], bytes);
            }
            out.family(
                Kind::Gauge,
                "process_start_time_seconds",
                "When the process was started, in seconds since 1970.",
            );
            out.sample(&[], Seconds(stat.started));
        }
        if let Some(open) = self.process.open_descriptors {
            out.family(
                Kind::Gauge,
                "process_open_fds",
                "Descriptors that are open.",
            );
            out.sample(&[], open);
        }
        out.family(
            Kind::Gauge,
            "process_max_fds",
            "Descriptors that may be open.",
        );
        match self.process.max_descriptors {
            Some(most) => out.sample(&[], most),
            None => out.sample(&[], "+Inf"),
        }
    }
}
