//! A name in the served directory, its versions, and what a reply may say about them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use memchr::memmem;

use super::reader::Reply;
use crate::support::get;

/// The length of a version in a content: seven digits and a line feed. Reads and writes never tear eight aligned bytes.
const TOKEN: usize = 8;
const SMALL: usize = 40 * TOKEN;
pub(super) const LARGE: usize = 25_000 * TOKEN;

/// The kind of a version.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum State {
    /// A file that took its place with its whole content.
    Whole,
    /// A file that was written in place: until the write is certain, old and new bytes may be mixed.
    Written,
    Empty,
    Absent,
}

const STATES: [State; 4] = [State::Whole, State::Written, State::Empty, State::Absent];

/// The versions that a reply may have.
pub(super) struct Window {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) states: [bool; 4],
    /// The states without that of the first version, which was certain before the request.
    new_states: [bool; 4],
}

impl Window {
    pub(super) fn has(&self, state: State) -> bool {
        self.states[state as usize]
    }

    pub(super) fn has_new(&self, state: State) -> bool {
        self.new_states[state as usize]
    }

    pub(super) fn contains(&self, version: u64) -> bool {
        (self.first..=self.last).contains(&version)
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Small,
    Large,
    Index,
    /// A directory with one file; the version is its name.
    Listing,
}

/// The names in each directory.
pub(super) const NAMES: [(&str, Kind); 6] = [
    ("first", Kind::Small),
    ("second", Kind::Small),
    ("third", Kind::Small),
    ("large", Kind::Large),
    ("page/index.html", Kind::Index),
    ("list", Kind::Listing),
];

/// A name, its versions, and the requests that show it.
pub(super) struct Slot {
    /// The path in the served directory.
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) requests: Vec<String>,
    begun: AtomicU64,
    pub(super) certain: AtomicU64,
    /// The states of the last 32 versions, two bits for each.
    states: AtomicU64,
    pub(super) last_change: Mutex<&'static str>,
}

impl Slot {
    pub(super) fn new(directory: &str, name: &str, kind: Kind) -> Self {
        let targets = match kind {
            Kind::Index => vec![format!("/{directory}/page/")],
            Kind::Listing => ["", "?format=json"]
                .map(|query| format!("/{directory}/{name}/{query}"))
                .to_vec(),
            _ => vec![format!("/{directory}/{name}")],
        };
        Self {
            name: format!("{directory}/{name}"),
            kind,
            requests: targets.iter().map(|target| get(target)).collect(),
            begun: AtomicU64::new(1),
            certain: AtomicU64::new(1),
            states: AtomicU64::new(0),
            last_change: Mutex::new("laid out"),
        }
    }

    /// The next version. Only the thread that changes this name may call this.
    pub(super) fn next(&self) -> u64 {
        self.begun.load(SeqCst) + 1
    }

    pub(super) fn begin(&self, state: State, change: &'static str) {
        *self.last_change.lock().unwrap() = change;
        let next = self.next();
        let shift = next % 32 * 2;
        let others = self.states.load(SeqCst) & !(3 << shift);
        self.states.store(others | (state as u64) << shift, SeqCst);
        self.begun.store(next, SeqCst);
    }

    pub(super) fn finish(&self) {
        self.certain.store(self.begun.load(SeqCst), SeqCst);
    }

    /// The versions that a reply may have which has just come, if `certain` was read before its request was sent.
    pub(super) fn window(&self, certain: u64) -> Window {
        let last = self.begun.load(SeqCst);
        let bits = self.states.load(SeqCst);
        // With more than 32 versions since then the states are not known, so each of them is allowed.
        let is_known = self.begun.load(SeqCst) - certain < 32;
        let has = |first: u64, state: State| {
            let is = |version: u64| bits >> (version % 32 * 2) & 3 == state as u64;
            !is_known || (first..=last).any(is)
        };
        Window {
            first: certain,
            last,
            states: STATES.map(|state| has(certain, state)),
            new_states: STATES.map(|state| has(certain + 1, state)),
        }
    }

    pub(super) fn size(&self) -> usize {
        if self.kind == Kind::Large {
            LARGE
        } else {
            SMALL
        }
    }

    pub(super) fn content(&self, version: u64) -> Vec<u8> {
        format!("{version:07x}\n")
            .repeat(self.size() / TOKEN)
            .into_bytes()
    }

    /// Checks that a reply is within `window`; returns its version where that is certain.
    pub(super) fn check(&self, reply: &Reply<'_>, window: &Window) -> Result<Option<u64>, String> {
        let is_listing = reply.body.starts_with(b"<!DOCTYPE");
        match (self.kind, reply.status) {
            (_, 404) => expect(window.has(State::Absent), "404"),
            (Kind::Listing, 200) => check_listing(reply.body, window),
            (Kind::Index, 200) if is_listing => expect(window.has(State::Absent), "a listing"),
            (_, 200) if reply.body.is_empty() => expect(window.has(State::Empty), "nothing"),
            (_, 200) => self.check_content(reply.body, window),
            (_, status) => Err(format!("status {status}")),
        }
    }

    fn check_content(&self, body: &[u8], window: &Window) -> Result<Option<u64>, String> {
        // A large file grows page by page while it is written.
        let is_growing = body.len() < self.size() && window.has_new(State::Written);
        if body.len() != self.size() && !is_growing || !body.len().is_multiple_of(TOKEN) {
            return Err(format!("{} bytes", body.len()));
        }
        let is_whole = !is_growing && body[TOKEN..] == body[..body.len() - TOKEN];
        let tokens = if is_whole { &body[..TOKEN] } else { body };
        for token in tokens.chunks(TOKEN) {
            let version = parse(&token[..TOKEN - 1]).ok_or_else(|| describe("odd", token))?;
            if !window.contains(version) {
                return Err(format!("version {version}"));
            }
        }
        if !is_whole && !window.has_new(State::Written) {
            return Err("a torn file".to_owned());
        }
        let is_steady = is_whole && !window.has_new(State::Written);
        Ok(parse(&body[..TOKEN - 1]).filter(|_| is_steady))
    }
}

fn expect(is_expected: bool, what: &str) -> Result<Option<u64>, String> {
    is_expected.then_some(None).ok_or_else(|| what.to_owned())
}

pub(super) fn describe(what: &str, bytes: &[u8]) -> String {
    format!("{what}: {}", bytes.escape_ascii())
}

fn parse(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

/// Checks the names in a listing, which are versions. While one replaces another, there may be both or none.
fn check_listing(body: &[u8], window: &Window) -> Result<Option<u64>, String> {
    let mut count = 0;
    for position in memmem::find_iter(body, b"\"v0") {
        let digits = body.get(position + 2..position + 9).and_then(parse);
        let version = digits.ok_or("an odd listing")?;
        count += 1;
        if !window.contains(version) {
            return Err(format!("a listing of version {version}"));
        }
    }
    let is_steady = window.first == window.last;
    expect(
        count == 1 || !is_steady,
        &format!("a listing of {count} files"),
    )
}
