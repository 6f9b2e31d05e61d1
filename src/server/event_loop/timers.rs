//! Deadlines of connections, kept sorted for free: all deadlines of one kind are "now plus the same constant", so
//! appending keeps the list in order.
//!
//! Invariant: a slab key is in at most one list. Arming and disarming are O(1); so is finding the next deadline.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use crate::config::ServerConfig;
use crate::server::lifecycle::drain::GRACE;

/// Whether `bytes` in `time` are progress: at least `rate` bytes a second, and at least one byte in all.
pub(crate) fn is_progress(bytes: u64, rate: u64, time: Duration) -> bool {
    let expected = time.as_millis() * u128::from(rate) / 1000;
    u128::from(bytes) >= expected.max(1)
}

/// What the loop waits for at a connection, each with a timeout of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timeout {
    KeepAlive,
    /// The request that may be on its way when the server ends, in place of `KeepAlive`.
    LastRequest,
    Head,
    Body,
    /// A file that one of the file threads looks up or reads.
    File,
    Send,
    Linger,
}

const KINDS: [Timeout; 7] = [
    Timeout::KeepAlive,
    Timeout::LastRequest,
    Timeout::Head,
    Timeout::Body,
    Timeout::File,
    Timeout::Send,
    Timeout::Linger,
];
/// The key that stands for no node.
const NONE: u32 = u32::MAX;
/// Longer than any server runs, and short enough for the clock to add.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// The deadlines of one kind, the earliest first.
#[derive(Debug)]
struct List {
    /// In nanoseconds.
    timeout: u64,
    first: u32,
    last: u32,
}

/// The place of one key in a list.
#[derive(Clone, Debug)]
struct Node {
    /// `None` where the key is in no list; then the other fields mean nothing.
    deadline: Option<Deadline>,
    kind: Timeout,
    previous: u32,
    next: u32,
}

/// Nanoseconds, and one, after the timers were made: half as large as an [`Instant`], because every connection has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Deadline(NonZeroU64);

impl Deadline {
    /// The moment at which the timers are made.
    const FIRST: Self = Self(NonZeroU64::MIN);

    fn after(self, nanoseconds: u64) -> Self {
        Self(self.0.saturating_add(nanoseconds))
    }
}

const UNARMED: Node = Node {
    deadline: None,
    kind: Timeout::KeepAlive,
    previous: NONE,
    next: NONE,
};

/// The deadlines of one loop, by slab key.
#[derive(Debug)]
pub(crate) struct Timers {
    made: Instant,
    /// The `now` of the last call, and the same as a deadline. All calls of a turn have the same `now`, so it is converted once.
    now: (Instant, Deadline),
    lists: [List; KINDS.len()],
    nodes: Vec<Node>,
}

impl Timers {
    pub(crate) fn new(config: &ServerConfig) -> Self {
        let timeouts = KINDS.map(|kind| match kind {
            Timeout::KeepAlive => config.keep_alive_timeout,
            Timeout::LastRequest => GRACE,
            Timeout::Head => config.head_timeout,
            Timeout::Body => config.body_timeout,
            Timeout::File => config.file_timeout,
            Timeout::Send => config.send_timeout,
            Timeout::Linger => config.linger_timeout.min(config.linger_time),
        });
        let timeouts = timeouts.map(|timeout| nanoseconds(timeout.min(FOR_EVER)));
        let made = Instant::now();
        Self {
            made,
            now: (made, Deadline::FIRST),
            lists: timeouts.map(|timeout| List {
                timeout,
                first: NONE,
                last: NONE,
            }),
            nodes: Vec::new(),
        }
    }

    /// Returns what the deadline of `key` is for; `None` where it has none.
    pub(crate) fn kind(&self, key: usize) -> Option<Timeout> {
        self.nodes
            .get(key)
            .filter(|node| node.deadline.is_some())
            .map(|node| node.kind)
    }

    /// Gives `key` a new deadline of `kind` in place of the one it had.
    pub(crate) fn arm(&mut self, key: usize, kind: Timeout, now: Instant) {
        self.disarm(key);
        let now = self.deadline(now);
        let list = &mut self.lists[kind as usize];
        let deadline = Some(now.after(list.timeout));
        if self.nodes.len() <= key {
            self.nodes.resize(key + 1, UNARMED);
        }
        let previous = list.last;
        list.last = key as u32;
        if previous == NONE {
            list.first = key as u32;
        }
        self.nodes[key] = Node {
            deadline,
            kind,
            previous,
            next: NONE,
        };
        if let Some(node) = self.nodes.get_mut(previous as usize) {
            node.next = key as u32;
        }
    }

    pub(crate) fn disarm(&mut self, key: usize) {
        let Some(node) = self.nodes.get_mut(key) else {
            return;
        };
        if node.deadline.take().is_none() {
            return;
        }
        let (kind, previous, next) = (node.kind, node.previous, node.next);
        match self.nodes.get_mut(previous as usize) {
            Some(node) => node.next = next,
            None => self.lists[kind as usize].first = next,
        }
        match self.nodes.get_mut(next as usize) {
            Some(node) => node.previous = previous,
            None => self.lists[kind as usize].last = previous,
        }
    }

    /// Returns the keys with a deadline of `kind`, the earliest first.
    pub(crate) fn in_order(&self, kind: Timeout) -> impl Iterator<Item = usize> {
        let armed = |key: u32| self.nodes.get(key as usize).map(|_| key as usize);
        let first = armed(self.lists[kind as usize].first);
        std::iter::successors(first, move |key| {
            self.nodes.get(*key).and_then(|node| armed(node.next))
        })
    }

    /// Returns how long ago the deadline of `key` was set.
    pub(crate) fn waited(&self, key: usize, now: Instant) -> Duration {
        let armed = self
            .nodes
            .get(key)
            .and_then(|node| Some((node.deadline?, node.kind)));
        armed.map_or(Duration::ZERO, |(deadline, kind)| {
            let left = self.instant(deadline).saturating_duration_since(now);
            let timeout = Duration::from_nanos(self.lists[kind as usize].timeout);
            timeout.saturating_sub(left)
        })
    }

    /// Returns the earliest deadline.
    // Inlined into the loop of the site; that of the administration is the other caller, and rare.
    #[inline(always)]
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.lists
            .iter()
            .filter_map(|list| self.nodes.get(list.first as usize)?.deadline)
            .min()
            .map(|deadline| self.instant(deadline))
    }

    /// Returns `now` as a deadline.
    fn deadline(&mut self, now: Instant) -> Deadline {
        if self.now.0 != now {
            let since = nanoseconds(now.saturating_duration_since(self.made));
            self.now = (now, Deadline::FIRST.after(since));
        }
        self.now.1
    }

    fn instant(&self, deadline: Deadline) -> Instant {
        self.made + Duration::from_nanos(deadline.0.get() - 1)
    }

    /// Takes out one key with a deadline that has passed, and returns it with the kind of the deadline.
    // Inlined into the loop of the site; that of the administration is the other caller, and rare.
    #[inline(always)]
    pub(crate) fn expired(&mut self, now: Instant) -> Option<(usize, Timeout)> {
        let now = self.deadline(now);
        let (key, kind) = self.lists.iter().find_map(|list| {
            let node = self.nodes.get(list.first as usize)?;
            node.deadline
                .is_some_and(|deadline| deadline <= now)
                .then_some((list.first as usize, node.kind))
        })?;
        self.disarm(key);
        Some((key, kind))
    }
}

/// Returns `duration` in nanoseconds, of which 64 bits last for centuries.
fn nanoseconds(duration: Duration) -> u64 {
    let seconds = duration.as_secs().saturating_mul(1_000_000_000);
    seconds.saturating_add(u64::from(duration.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn timers() -> (Timers, Instant) {
        let config = ServerConfig {
            keep_alive_timeout: seconds(60),
            head_timeout: seconds(10),
            ..ServerConfig::default()
        };
        (Timers::new(&config), Instant::now())
    }

    #[test]
    fn deadlines_of_all_kinds_come_in_order() {
        let (mut timers, now) = timers();
        timers.arm(3, Timeout::KeepAlive, now);
        timers.arm(1, Timeout::Head, now + seconds(1));
        timers.arm(0, Timeout::Head, now + seconds(2));
        assert_eq!(timers.next_deadline(), Some(now + seconds(11)));
        assert_eq!(timers.expired(now + seconds(10)), None);
        assert_eq!(timers.expired(now + seconds(12)), Some((1, Timeout::Head)));
        assert_eq!(timers.expired(now + seconds(12)), Some((0, Timeout::Head)));
        assert_eq!(timers.expired(now + seconds(12)), None);
        assert_eq!(timers.next_deadline(), Some(now + seconds(60)));
    }

    #[test]
    fn arming_again_moves_a_deadline_to_the_end_and_disarming_removes_it() {
        let (mut timers, now) = timers();
        for key in 0..4 {
            timers.arm(key, Timeout::KeepAlive, now);
        }
        timers.arm(0, Timeout::KeepAlive, now + seconds(5));
        let in_order = |kind| timers.in_order(kind).collect::<Vec<_>>();
        assert_eq!(in_order(Timeout::KeepAlive), [1, 2, 3, 0]);
        assert_eq!(in_order(Timeout::Send), []);
        let waited = |key| timers.waited(key, now + seconds(7));
        assert_eq!((waited(1), waited(0)), (seconds(7), seconds(2)));
        assert_eq!(waited(99), seconds(0));
        timers.arm(2, Timeout::Head, now + seconds(59));
        timers.disarm(3);
        timers.disarm(7);
        assert_eq!(timers.kind(3), None);
        let mut expired = Vec::new();
        while let Some((key, _)) = timers.expired(now + seconds(99)) {
            expired.push(key);
        }
        assert_eq!(expired, [1, 0, 2]);
        assert_eq!(timers.next_deadline(), None);
    }

    #[test]
    fn a_timeout_beyond_the_clock_never_comes() {
        let config = ServerConfig {
            keep_alive_timeout: Duration::MAX,
            ..ServerConfig::default()
        };
        let (mut timers, now) = (Timers::new(&config), Instant::now());
        timers.arm(0, Timeout::KeepAlive, now);
        assert!(timers.next_deadline() > now.checked_add(FOR_EVER / 2));
        assert_eq!(timers.waited(0, now + seconds(2)), seconds(2));
    }
}
