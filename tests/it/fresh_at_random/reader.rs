//! Threads that ask for names at random and check each reply.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use memchr::memmem;

use super::slot::{Kind, LARGE, Slot, State, Window, describe};
use super::{ENOUGH_FAILURES, Random};
use crate::support::TIMEOUT;

/// A reply in the buffer of its connection.
pub(super) struct Reply<'a> {
    pub(super) status: u16,
    pub(super) tag: Option<&'a [u8]>,
    pub(super) body: &'a [u8],
}

/// A connection that copies nothing, unlike [`crate::support::Client`].
pub(super) struct Connection {
    stream: TcpStream,
    room: Vec<u8>,
    start: usize,
    end: usize,
}

impl Connection {
    pub(super) fn new(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self {
            stream,
            room: vec![0; 2 * LARGE],
            start: 0,
            end: 0,
        })
    }

    fn read_reply(&mut self) -> io::Result<Reply<'_>> {
        let odd = || io::Error::other("an odd head");
        let head = loop {
            if let Some(length) = memmem::find(&self.room[self.start..self.end], b"\r\n\r\n") {
                break self.start..self.start + length + 2;
            }
            self.fill()?;
        };
        let length = field(&self.room[head.clone()], "Content-Length");
        let length = length.and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
        let length: usize = length.ok_or_else(odd)?;
        let head_length = head.len();
        while self.end - self.start < head_length + 2 + length {
            self.fill()?;
        }
        let reply = &self.room[self.start..self.start + head_length + 2 + length];
        self.start += reply.len();
        let (head, body) = reply.split_at(head_length + 2);
        let status = head
            .get(9..12)
            .and_then(|status| str::from_utf8(status).ok());
        Ok(Reply {
            status: status
                .and_then(|status| status.parse().ok())
                .ok_or_else(odd)?,
            tag: field(head, "ETag"),
            body,
        })
    }

    /// Reads once.
    fn fill(&mut self) -> io::Result<()> {
        if self.end == self.room.len() || self.start == self.end {
            self.room.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        match self.stream.read(&mut self.room[self.end..])? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            length => {
                self.end += length;
                Ok(())
            }
        }
    }
}

/// The value of the field `name` of a head.
fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let start = memmem::find(head, format!("\r\n{name}: ").as_bytes())? + name.len() + 4;
    let length = memmem::find(&head[start..], b"\r\n")?;
    Some(&head[start..start + length])
}

/// What all threads share, and the checks of the readers.
pub(super) struct Checker<'a> {
    pub(super) slots: &'a [Slot],
    pub(super) address: SocketAddr,
    pub(super) is_remote: bool,
    pub(super) replies: AtomicU64,
    pub(super) is_over: AtomicBool,
    pub(super) failures: Mutex<Vec<String>>,
}

/// The slot and version that each tag stood for, by the hash of slot and tag.
pub(super) type Tags = HashMap<u64, (usize, u64)>;

impl<'a> Checker<'a> {
    pub(super) fn new(slots: &'a [Slot], address: SocketAddr, is_remote: bool) -> Self {
        Self {
            slots,
            address,
            is_remote,
            replies: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            failures: Mutex::new(Vec::new()),
        }
    }

    /// Sends requests until the test is over; returns the tags of the replies.
    pub(super) fn read(&self, mut random: Random) -> Tags {
        let mut tags = Tags::new();
        let mut batch = Vec::new();
        while !self.is_over.load(SeqCst) {
            let mut connection = Connection::new(self.address).unwrap();
            for _ in 0..1000 {
                batch.clear();
                let depth = [1, 1, 1, 1 + random.below(8)][random.below(4)];
                batch.extend((0..depth).map(|_| self.choose(&mut random)));
                let is_open = self.ask(&mut connection, &batch, &mut random, &mut tags);
                if !is_open || self.is_over.load(SeqCst) {
                    break;
                }
            }
        }
        tags
    }

    /// Chooses a slot; large files are chosen less often.
    fn choose(&self, random: &mut Random) -> usize {
        loop {
            let number = random.below(self.slots.len());
            if self.slots[number].kind != Kind::Large || random.below(8) == 0 {
                return number;
            }
        }
    }

    /// Sends requests for some slots at once and checks the replies; false if the connection has ended.
    pub(super) fn ask(
        &self,
        connection: &mut Connection,
        batch: &[usize],
        random: &mut Random,
        tags: &mut Tags,
    ) -> bool {
        let mut requests = String::new();
        let mut certain = Vec::new();
        for number in batch {
            let slot = &self.slots[*number];
            requests += &slot.requests[random.below(slot.requests.len())];
            certain.push(slot.certain.load(SeqCst));
        }
        if connection.stream.write_all(requests.as_bytes()).is_err() {
            return false;
        }
        for (number, certain) in batch.iter().zip(certain) {
            let slot = &self.slots[*number];
            let reply = match connection.read_reply() {
                Ok(reply) => reply,
                // The server closes where a file shrinks while it is sent.
                Err(_) if slot.window(certain).has_new(State::Empty) => return false,
                Err(error) => {
                    self.fail(slot, &slot.window(certain), &error.to_string());
                    return false;
                }
            };
            self.check(*number, certain, &reply, tags);
        }
        true
    }

    /// Checks a reply about one slot, and adds its tag to `tags`.
    fn check(&self, number: usize, certain: u64, reply: &Reply<'_>, tags: &mut Tags) {
        let slot = &self.slots[number];
        let mut window = slot.window(certain);
        let may_fail = self.is_remote && window.first < window.last;
        window.states[State::Absent as usize] |= may_fail;
        match slot.check(reply, &window) {
            Err(_) if may_fail && reply.status >= 400 => {}
            Err(what) => self.fail(slot, &window, &what),
            Ok(version) => {
                if let (Some(version), Some(tag)) = (version, reply.tag) {
                    let other = tags.insert(hash(number, tag), (number, version));
                    if other.is_some_and(|(_, other)| other != version) {
                        let what = describe("one tag for two versions", tag);
                        self.fail(slot, &window, &what);
                    }
                }
            }
        }
        self.replies.fetch_add(1, SeqCst);
    }

    /// Adds the tags of one reader to those of the others, and compares them.
    pub(super) fn merge(&self, tags: &mut Tags, more: Tags) {
        for (tag, (number, version)) in more {
            let (_, other) = *tags.entry(tag).or_insert((number, version));
            if other != version {
                let window = self.slots[number].window(version.min(other));
                self.fail(&self.slots[number], &window, "one tag for two versions");
            }
        }
    }

    fn fail(&self, slot: &Slot, window: &Window, what: &str) {
        let Window { first, last, .. } = window;
        let change = slot.last_change.lock().unwrap();
        let mut failures = self.failures.lock().unwrap();
        failures.push(format!(
            "{}: {what}, where {first} was certain and {last} had begun; {change}",
            slot.name
        ));
        if failures.len() >= ENOUGH_FAILURES {
            self.is_over.store(true, SeqCst);
        }
    }
}

fn hash(number: usize, tag: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (number, tag).hash(&mut hasher);
    hasher.finish()
}
