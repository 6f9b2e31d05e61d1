//! A transport that follows a script, and a loop of one connection that turns the script into events.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use super::super::{Connection, State};
use super::handler::Handler;
#[cfg(all(test, feature = "tls"))]
pub(super) use super::over_tls as wire;
#[cfg(not(all(test, feature = "tls")))]
pub(super) use super::plain as wire;
use crate::config::ServerConfig;
use crate::handler::BaseHttpRequestHandler;
use crate::handler::client::{Client, Scheme};
use crate::handler::log::Log;
use crate::handler::mailbox::Mailbox;
use crate::handler::server_info::ServerInfo;
use crate::handler::work::Allowance;
use crate::http::date;
use crate::server::connection::readable::Readable;
use crate::server::event_loop::timers::Timeout;
use crate::server::loop_context::{LoopContext, TURN_OF_WORK};
use crate::server::scratch::Scratch;
use crate::wire::delivery::Delivery;
use crate::wire::next::Next;
use crate::wire::share::Share;
use crate::wire::transport::Transport;

/// What the peer does.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Bytes(Vec<u8>),
    Eof,
    Reset,
}

/// What the socket does with one write or sendfile; beyond the script it takes all bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Room {
    Take(usize),
    WouldBlock,
    Reset,
}

#[derive(Debug)]
pub(super) struct Script {
    /// Bytes that have arrived and were not read.
    pub(super) arrived: Vec<u8>,
    end: Option<Event>,
    pub(super) room: VecDeque<Room>,
    /// The most bytes that the socket takes at once.
    pub(super) most: usize,
    /// The socket has refused bytes, so a writable edge will come.
    full: bool,
    pub(super) output: Vec<u8>,
    pub(super) reads: usize,
    /// For every write, whether it said that more follows.
    pub(super) writes: Vec<bool>,
    pub(super) files: usize,
    pub(super) shutdowns: usize,
    pub(super) resets: usize,
    pub(super) delivery: Option<Delivery>,
    /// How long the peer's window has kept bytes here.
    pub(super) window_limited: Option<Duration>,
}

impl Script {
    fn take(&mut self, offered: usize) -> io::Result<usize> {
        if self.full {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let room = self.room.pop_front().unwrap_or(Room::Take(usize::MAX));
        match room {
            Room::Reset => Err(io::ErrorKind::ConnectionReset.into()),
            Room::WouldBlock => {
                self.full = true;
                Err(io::ErrorKind::WouldBlock.into())
            }
            Room::Take(length) => {
                let length = length.min(self.most).min(offered);
                self.full = length < offered;
                Ok(length)
            }
        }
    }
}

impl Transport for Script {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        let length = self.arrived.len().min(buffer.len());
        if length > 0 {
            buffer[..length].copy_from_slice(&self.arrived[..length]);
            self.arrived.drain(..length);
            return Ok(length);
        }
        match self.end {
            Some(Event::Eof) => Ok(0),
            Some(_) => Err(io::ErrorKind::ConnectionReset.into()),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn write(&mut self, bytes: &[u8], more: bool) -> io::Result<usize> {
        self.writes.push(more);
        let length = self.take(bytes.len())?;
        self.output.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn send_file(&mut self, file: &File, offset: u64, length: usize) -> io::Result<usize> {
        self.files += 1;
        let start = self.output.len();
        let length = self.take(length)?;
        self.output.resize(start + length, 0);
        let read = file.read_at(&mut self.output[start..], offset)?;
        self.output.truncate(start + read);
        Ok(read)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.shutdowns += 1;
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        self.resets += 1;
        Ok(())
    }

    fn window_limited(&self) -> Option<Duration> {
        self.window_limited
    }

    fn delivery(&self) -> Option<Delivery> {
        self.delivery
    }
}

/// How a call of the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    next: Next,
    pub(super) progress: bool,
}

/// The connection waits, and nothing has moved.
pub(super) const STILL: Ended = Ended::waiting(false);
/// The connection waits, and its deadline begins anew.
pub(super) const MOVED: Ended = Ended::waiting(true);

impl Ended {
    pub(super) const fn waiting(progress: bool) -> Self {
        let next = Next::Wait;
        Self { next, progress }
    }
}

impl PartialEq<Next> for Ended {
    fn eq(&self, next: &Next) -> bool {
        self.next == *next
    }
}

/// One connection, with what its loop lends to it.
#[derive(Debug)]
pub(super) struct TestLoop<H> {
    pub(super) connection: Connection<wire::Wire>,
    pub(super) peer: wire::Peer,
    pub(super) context: LoopContext<H>,
    pub(super) scratch: Scratch,
    /// Events of the peer that [`TestLoop::play`] will deliver.
    pub(super) coming: VecDeque<Event>,
    /// Whether the peer sends on without waiting for replies.
    pub(super) hasty: bool,
    /// The most memory that the connection held between two events.
    pub(super) kept: usize,
    /// The time that work may take in each call.
    pub(super) time: Duration,
    /// How often [`TestLoop::play`] asks for a file before its deadline passes.
    pub(super) patience: usize,
    last: Ended,
}

impl TestLoop<Handler> {
    pub(super) fn new() -> Self {
        Self::with_config(ServerConfig::default())
    }

    pub(super) fn with_config(config: ServerConfig) -> Self {
        Self::with_handler(Handler::new(), config)
    }
}

impl<H: BaseHttpRequestHandler> TestLoop<H> {
    pub(super) fn with_handler(handler: H, config: ServerConfig) -> Self {
        let client = SocketAddr::from(([192, 0, 2, 1], 4711));
        let script = Script {
            arrived: Vec::new(),
            end: None,
            room: VecDeque::new(),
            most: usize::MAX,
            full: false,
            output: Vec::new(),
            reads: 0,
            writes: Vec::new(),
            files: 0,
            shutdowns: 0,
            resets: 0,
            delivery: None,
            window_limited: None,
        };
        let (wire, peer) = wire::open(script);
        let info = ServerInfo::new(&handler, config, &[]);
        let log = Log::new(info.config().log_format);
        let mut context = LoopContext::new(handler, info, Mailbox::new(|| ()), log);
        // The date of RFC 9110's examples. Only a loop reads the clock, so here it stands still.
        context.clock.unix = 784_111_777;
        context.clock.imf_fixdate = date::imf_fixdate(context.clock.unix);
        context.clock.log_date = date::log_date(context.clock.imf_fixdate.as_bytes());
        let config = context.server.config();
        let mut test_loop = Self {
            connection: Connection::new(wire, Client::new(client, 0, Scheme::Http, config), config),
            context,
            scratch: Scratch::new(64 * 1024),
            coming: VecDeque::new(),
            hasty: false,
            kept: 0,
            time: TURN_OF_WORK,
            patience: usize::MAX,
            last: STILL,
            peer,
        };
        test_loop.shake_hands();
        test_loop
    }

    pub(super) fn script(&mut self) -> &mut Script {
        wire::script_mut(&mut self.connection.transport)
    }

    /// Bytes arrive, with their event.
    pub(super) fn receive(&mut self, bytes: impl AsRef<[u8]>) -> Ended {
        self.send(bytes.as_ref());
        self.advance(Readable::Bytes)
    }

    /// The peer ends, after `bytes` in the same event.
    pub(super) fn receive_last(&mut self, bytes: impl AsRef<[u8]>, end: Event) -> Ended {
        self.send(bytes.as_ref());
        self.send_end(&end);
        self.script().end = Some(end);
        self.advance(Readable::ToEnd)
    }

    /// The socket can be written to again.
    pub(super) fn drain(&mut self) -> Ended {
        self.script().full = false;
        self.advance(Readable::No)
    }

    pub(super) fn advance(&mut self, readable: Readable) -> Ended {
        let mut share = Share::of(self.context.server.config(), 0);
        self.context.allowance = Allowance::new(self.time);
        let next =
            self.connection
                .advance(readable, &mut share, &mut self.scratch, &mut self.context);
        self.last = Ended {
            next,
            progress: share.progress,
        };
        self.kept = self.kept.max(self.keeps());
        self.last
    }

    /// The deadline passes, after the time of the longest one.
    pub(super) fn expire(&mut self) -> Ended {
        self.context.clock.instant += self.context.server.config().body_timeout;
        let mut share = Share::of(self.context.server.config(), 0);
        let next = self
            .connection
            .expire(&mut share, &mut self.scratch, &mut self.context);
        self.last = Ended {
            next,
            progress: share.progress,
        };
        self.last
    }

    /// Bytes of memory that wait for the next event, spooled bodies aside.
    fn keeps(&self) -> usize {
        match &self.connection.state {
            State::Reading(Some(unparsed)) | State::Parsing(unparsed) => unparsed.bytes.capacity(),
            State::ReadingBody(request) => request.request.memory(),
            State::WritingHeaders(unsent) | State::Streaming(unsent) => {
                unsent.outgoing.buffer.bytes.capacity() + unsent.unparsed.bytes.capacity()
            }
            _ => 0,
        }
    }

    /// Delivers the events of the peer and every writable edge, until the connection closes or nothing is left. A file that is
    /// waited for is there when it is asked for often enough, or never: then its deadline passes.
    pub(super) fn play(&mut self) -> Ended {
        let mut asked = 0;
        for _ in 0..10_000_000 {
            if self.last.progress {
                asked = 0;
            }
            let awaits_file = self.connection.awaits() == Some(Timeout::File);
            match self.last.next {
                Next::Close => return self.last,
                Next::Continue | Next::Yield | Next::Work | Next::WaitForDisk => {
                    self.advance(Readable::No)
                }
                Next::Wait if self.is_blocked() && !self.is_urged() => self.drain(),
                Next::Wait if awaits_file && !self.is_urged() => {
                    asked += 1;
                    if asked > self.patience {
                        self.expire()
                    } else {
                        self.advance(Readable::No)
                    }
                }
                Next::Wait => match self.coming.pop_front() {
                    None => return self.last,
                    Some(Event::Bytes(bytes)) => self.receive(bytes),
                    Some(end) => {
                        self.connection.peer_left();
                        self.receive_last(b"", end)
                    }
                },
            };
        }
        panic!("no end in sight: {:?}", self.connection)
    }

    fn is_blocked(&self) -> bool {
        wire::script(&self.connection.transport).full
    }

    fn is_urged(&self) -> bool {
        self.hasty && !self.coming.is_empty()
    }

    /// Plays `pieces` of a conversation and returns all that the peer was sent.
    pub(super) fn answer(&mut self, pieces: &[&[u8]]) -> Vec<u8> {
        let events = pieces.iter().map(|piece| Event::Bytes(piece.to_vec()));
        self.coming.extend(events);
        self.play();
        self.output()
    }

    /// What was sent since the last call.
    pub(super) fn output(&mut self) -> Vec<u8> {
        let output = std::mem::take(&mut self.script().output);
        self.opened(output)
    }

    pub(super) fn state(&self) -> &'static str {
        match self.connection.state {
            State::ReadingProxyHeader(_) => "ReadingProxyHeader",
            State::Handshaking => "Handshaking",
            State::Reading(None) => "Reading(None)",
            State::Reading(Some(_)) => "Reading(Some)",
            State::Parsing(_) => "Parsing",
            State::ReadingBody(_) => "ReadingBody",
            State::WritingHeaders(_) => "WritingHeaders",
            State::Streaming(_) => "Streaming",
            State::Awaiting(_) => "Awaiting",
            State::Lingering(ref lingering) if lingering.is_in_body() => "Lingering(Some)",
            State::Lingering(_) => "Lingering(None)",
            State::Closed => "Closed",
        }
    }

    /// Request line, status and size of every line in the access log.
    pub(super) fn logged(&self) -> Vec<String> {
        let behind = |line: &str| line.split_once("] ").unwrap().1.to_owned();
        self.log().lines().map(behind).collect()
    }

    /// The client of every line in the access log.
    pub(super) fn log_clients(&self) -> Vec<String> {
        let before = |line: &str| line.split_once(" - - [").unwrap().0.to_owned();
        self.log().lines().map(before).collect()
    }

    /// All lines of the log.
    pub(super) fn log(&self) -> String {
        // The lines wait in a private field of the log; its debug form shows them.
        let debug = format!("{:?}", self.context.log);
        let waiting = debug.split_once("waiting: [").unwrap().1;
        let bytes = waiting.split_once(']').unwrap().0.split(", ");
        let bytes: Vec<u8> = bytes.filter_map(|byte| byte.parse().ok()).collect();
        String::from_utf8(bytes).unwrap()
    }
}
