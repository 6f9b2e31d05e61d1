//! TLS on one connection: bytes of the application on one side, records on the socket on the other (RFC 8446 §5).
//!
//! Invariants:
//! - A write reports bytes only once their records have left. What the socket does not take is kept, and the write fails with
//!   WouldBlock; it has to be repeated with the same bytes, and reports them when the rest of the record has left.
//! - An idle connection keeps no buffer. Records are read, opened and sealed in memory that all connections of a thread share.

use std::fmt;
use std::fs::File;
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::server::UnbufferedServerConnection;
use rustls::{HandshakeKind, InvalidMessage, PeerMisbehaved, ServerConfig};

use super::buffers::{READ, RECORD, SHARED, read_at};
use super::plain::Plain;
use super::records::{self, Opened};
use super::server_name;
use super::unsent_records::UnsentRecords;
use crate::wire::transport::{Handshake, Transport};

/// Bytes that may wait for the rest of a record, and bytes of records in a row without content: a message of the handshake of up to
/// 64 KiB, in records of any size.
const RECEIVED: usize = 96 * 1024;
/// More time than [`READ`] bytes of full records take to read and open; far more in a build that is not optimized.
const USUAL: Duration = Duration::from_micros(if cfg!(debug_assertions) { 50_000 } else { 100 });
/// Bytes that could be read in a microsecond.
const BYTES_PER_MICROSECOND: usize = 4096;

/// The TLS of one connection.
pub(crate) struct TlsStream {
    state: TlsState,
    /// The beginning of a record, or of a message of the handshake, that has not arrived as a whole.
    received: Vec<u8>,
    /// What the last records held beyond the room of a read.
    decrypted: Vec<u8>,
    unsent: UnsentRecords,
    /// Bytes of records since the last one with content.
    silent: usize,
    /// Whether close_notify leaves with the last bytes of the next write.
    finishes: bool,
    /// Whether the socket may have more than was read.
    may_have_more: bool,
    /// See [`Transport::take_cost`].
    cost: usize,
    end: End,
    /// The name that the client has asked for, until the handshake is complete.
    server_name: Option<Box<str>>,
}

enum TlsState {
    /// Nothing has arrived.
    New(Arc<ServerConfig>),
    Open(Box<UnbufferedServerConnection>),
    /// The peer speaks no TLS.
    PlainText,
    /// The peer did not keep to the protocol. rustls must not be asked again.
    Failed,
}

/// How the stream of the peer has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    No,
    /// By close_notify.
    Closed,
    /// Without close_notify: the peer may have sent more than has arrived.
    Cut,
}

impl TlsStream {
    pub(crate) fn new(config: &Arc<ServerConfig>) -> Self {
        Self {
            state: TlsState::New(Arc::clone(config)),
            received: Vec::new(),
            decrypted: Vec::new(),
            unsent: UnsentRecords::default(),
            silent: 0,
            finishes: false,
            may_have_more: false,
            cost: 0,
            end: End::No,
            server_name: None,
        }
    }

    pub(crate) fn needs_handshake(&self) -> bool {
        match &self.state {
            TlsState::New(_) => true,
            TlsState::Open(connection) => connection.is_handshaking(),
            TlsState::PlainText | TlsState::Failed => false,
        }
    }

    pub(crate) fn handshake(
        &mut self,
        socket: &mut impl Transport,
        before: &[u8],
    ) -> io::Result<Handshake> {
        self.unsent.send(socket, false)?;
        if !before.is_empty() {
            self.open(socket, &mut before.to_vec(), &mut [])?;
        }
        self.may_have_more = true;
        while self.needs_handshake() {
            // A short read has drained the socket; what comes next is an event.
            if !self.may_have_more {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.receive(socket, &mut [])?;
            if self.end != End::No && self.needs_handshake() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        // The last messages of the handshake leave with the reply, if the request is here.
        if self.decrypted.is_empty() {
            self.unsent.send(socket, false)?;
        }
        Ok(match &self.state {
            TlsState::Open(connection) => Handshake::Done {
                is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
                server_name: self.server_name.take(),
            },
            _ => Handshake::PlainText,
        })
    }

    // Not inlined, as writes are not, so that the code of connections without TLS stays small.
    #[inline(never)]
    pub(crate) fn read(
        &mut self,
        socket: &mut impl Transport,
        room: &mut [u8],
    ) -> io::Result<usize> {
        loop {
            if !self.decrypted.is_empty() {
                // More may have arrived since these were.
                self.may_have_more = true;
                return Ok(self.take_decrypted(room));
            } else if self.end != End::No {
                return Ok(0);
            }
            let length = match self.state {
                // Nothing is known of the peer: what it sends first may be the header of a proxy.
                TlsState::New(_) | TlsState::PlainText => return socket.read(room),
                TlsState::Open(_) => {
                    let began = Instant::now();
                    let length = self.receive(socket, room)?;
                    self.charge(began.elapsed());
                    length
                }
                TlsState::Failed => return Err(io::ErrorKind::NotConnected.into()),
            };
            if length > 0 {
                return Ok(length);
            }
        }
    }

    fn take_decrypted(&mut self, room: &mut [u8]) -> usize {
        let length = room.len().min(self.decrypted.len());
        if let Some(room) = room.get_mut(..length) {
            room.copy_from_slice(self.decrypted.get(..length).unwrap_or_default());
        }
        drop_front(&mut self.decrypted, length);
        length
    }

    /// Reads once from the socket, and returns how many bytes of the application are in `room` then.
    fn receive(&mut self, socket: &mut impl Transport, room: &mut [u8]) -> io::Result<usize> {
        SHARED.with_borrow_mut(|shared| {
            // No more than what fits the room, so that little has to be kept.
            let most = room.len().clamp(RECORD, READ);
            let received = shared.received.get_mut(..most).unwrap_or_default();
            self.may_have_more = false;
            let length = socket.read(received)?;
            self.may_have_more = length == most;
            if length == 0 {
                self.end = End::Cut;
                return Ok(0);
            }
            let received = received.get_mut(..length).unwrap_or_default();
            self.open(socket, received, room)
        })
    }

    /// Charges a read that `took` unusually long.
    fn charge(&mut self, took: Duration) {
        if took > USUAL {
            self.cost += took.as_micros() as usize * BYTES_PER_MICROSECOND;
        }
    }

    pub(crate) fn take_cost(&mut self) -> usize {
        mem::take(&mut self.cost)
    }

    /// Opens the records in what has arrived, sends what the protocol answers, and keeps the beginning of a record.
    fn open(
        &mut self,
        socket: &mut impl Transport,
        arrived: &mut [u8],
        room: &mut [u8],
    ) -> io::Result<usize> {
        let mut plain = Plain {
            room,
            filled: 0,
            rest: &mut self.decrypted,
        };
        if let (TlsState::New(config), Some(first)) = (&self.state, arrived.first()) {
            self.state = TlsState::new(config, *first)?;
        }
        let TlsState::Open(connection) = &mut self.state else {
            plain.push(arrived);
            return Ok(plain.filled);
        };
        let answers = &mut self.unsent.records;
        let opened = open_records(connection, &mut self.received, arrived, &mut plain, answers);
        let filled = plain.filled;
        // What the protocol answers to a request leaves with the reply.
        let has_request = filled > 0 || !plain.rest.is_empty();
        if let Some(name) = server_name::take() {
            self.server_name = Some(name);
        }
        let opened = opened.map_err(|error| self.fail(socket, &error))?;
        if opened.is_closed {
            self.end = End::Closed;
        }
        if has_request {
            self.silent = 0;
            return Ok(filled);
        }
        self.silent += opened.used;
        // rustls bounds empty records and new keys, but not both by turns, and a read would go on for as long as they come.
        if self.silent > RECEIVED {
            return Err(self.fail(socket, &PeerMisbehaved::TooManyEmptyFragments.into()));
        }
        // At once: a ticket also acknowledges the client's last flight, and with Nagle's algorithm the client waits for that.
        match self.unsent.send(socket, false) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(filled),
        }
    }

    /// Sends the alert that follows an `error` of the protocol, and returns the error.
    fn fail(&mut self, socket: &mut impl Transport, error: &rustls::Error) -> io::Error {
        // Before anything else: rustls may panic when it is asked again, because the bytes that it has seen are gone.
        self.state = TlsState::Failed;
        self.received = Vec::new();
        // A peer that is gone gets no alert.
        let _ = self.unsent.send(socket, false);
        io::Error::new(io::ErrorKind::InvalidData, error.to_string())
    }

    #[inline(never)]
    pub(crate) fn write(
        &mut self,
        socket: &mut impl Transport,
        bytes: &[u8],
        more: bool,
    ) -> io::Result<usize> {
        if matches!(self.state, TlsState::PlainText) {
            return socket.write(bytes, more);
        }
        self.unsent.send_begun(socket, bytes.len(), more)?;
        let mut written = self.unsent.take_held(bytes.len());
        while let Some(rest @ [_, ..]) = bytes.get(written..) {
            let piece = rest.get(..RECORD).unwrap_or(rest);
            let is_last = piece.len() == rest.len();
            let end = is_last && self.finishes;
            let has_left = SHARED.with_borrow_mut(|shared| {
                self.send(socket, piece, &mut shared.sealed, more || !is_last, end)
            })?;
            if !has_left {
                break;
            }
            written += piece.len();
        }
        if written == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(written)
    }

    #[inline(never)]
    pub(crate) fn send_file(
        &mut self,
        socket: &mut impl Transport,
        file: &File,
        offset: u64,
        length: usize,
    ) -> io::Result<usize> {
        if matches!(self.state, TlsState::PlainText) {
            return socket.send_file(file, offset, length);
        }
        self.unsent.send_begun(socket, length, false)?;
        let held = self.unsent.take_held(length);
        if held > 0 {
            return Ok(held);
        }
        SHARED.with_borrow_mut(|shared| {
            // Full segments leave sooner if the next record of the same call is on its way.
            let more = length > RECORD;
            let room = shared
                .file
                .get_mut(..length.min(RECORD))
                .unwrap_or_default();
            let read = read_at(file, room, offset)?;
            let plain = room.get(..read).unwrap_or_default();
            if plain.is_empty() {
                return Ok(0);
            }
            if self.send(socket, plain, &mut shared.sealed, more, false)? {
                Ok(read)
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            }
        })
    }

    /// Seals `plain`, which fits a record, and close_notify behind it (`end`), and writes them. Returns whether all have left; otherwise
    /// the rest is kept.
    fn send(
        &mut self,
        socket: &mut impl Transport,
        plain: &[u8],
        sealed: &mut Vec<u8>,
        more: bool,
        end: bool,
    ) -> io::Result<bool> {
        let TlsState::Open(connection) = &mut self.state else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        // What the protocol answers leaves in the same write.
        let answers = self.unsent.take();
        let mut length = records::seal(connection, &mut self.received, &answers, plain, sealed)?;
        if end {
            length += records::close(connection, &mut self.received, sealed, length)?;
        }
        let records = sealed.get(..length).unwrap_or_default();
        let sent = match socket.write(records, more) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            sent => sent?,
        };
        if sent == length {
            return Ok(true);
        }
        let rest = records.get(sent..).unwrap_or_default();
        self.unsent.keep(rest, plain.len());
        Ok(false)
    }

    /// Sends close_notify, once. If the socket does not take it, the peer sees a stream that was cut.
    pub(crate) fn finish(&mut self, socket: &mut impl Transport) {
        if let TlsState::Open(connection) = &mut self.state {
            let records = &mut self.unsent.records;
            let start = records.len();
            let closed = records::close(connection, &mut self.received, records, start);
            records.truncate(start + closed.unwrap_or_default());
            if self.unsent.send(socket, true).is_err() {
                // A later write would fail, because our side of the socket is closed by then.
                self.unsent = UnsentRecords::default();
            }
        }
    }

    /// Has the last bytes of the next write carry close_notify.
    pub(crate) fn finish_with_write(&mut self) {
        self.finishes = true;
    }

    /// Whether a read has something without an event of the socket.
    pub(crate) fn has_more(&self) -> bool {
        self.may_have_more || !self.decrypted.is_empty() || self.end != End::No
    }

    /// Whether the peer has closed its side without close_notify.
    pub(crate) fn is_cut(&self) -> bool {
        self.end == End::Cut
    }

    /// Whether the peer has not kept to the protocol.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(self.state, TlsState::Failed)
    }

    /// Bytes of memory that are kept until the next event, beside what TLS needs for every connection.
    pub(crate) fn memory(&self) -> usize {
        self.received.capacity() + self.decrypted.capacity() + self.unsent.records.capacity()
    }
}

impl TlsState {
    /// Returns the state that follows the first byte of the peer.
    fn new(config: &Arc<ServerConfig>, first: u8) -> io::Result<Self> {
        // No request begins with another byte, and no record with one of these.
        if first.is_ascii_graphic() || matches!(first, b'\r' | b'\n') {
            return Ok(Self::PlainText);
        }
        let connection = UnbufferedServerConnection::new(Arc::clone(config));
        let connection = connection.map_err(io::Error::other)?;
        Ok(Self::Open(Box::new(connection)))
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").finish_non_exhaustive()
    }
}

/// Opens the records in `received` and in what has `arrived` behind it, and keeps the beginning of a record in `received`.
fn open_records(
    connection: &mut UnbufferedServerConnection,
    received: &mut Vec<u8>,
    arrived: &mut [u8],
    plain: &mut Plain<'_>,
    answers: &mut Vec<u8>,
) -> Result<Opened, rustls::Error> {
    let opened = if received.is_empty() {
        let opened = records::open(connection, arrived, plain, answers)?;
        received.extend_from_slice(arrived.get(opened.used..).unwrap_or_default());
        opened
    } else {
        received.extend_from_slice(arrived);
        let opened = records::open(connection, received, plain, answers)?;
        drop_front(received, opened.used);
        opened
    };
    // rustls bounds a message of the handshake, and not the number of records that it comes in.
    if received.len() > RECEIVED {
        return Err(InvalidMessage::HandshakePayloadTooLarge.into());
    }
    Ok(opened)
}

/// Drops up to `length` bytes at the front, and the memory if none is left.
fn drop_front(bytes: &mut Vec<u8>, length: usize) {
    if length >= bytes.len() {
        *bytes = Vec::new();
    } else {
        bytes.drain(..length);
    }
}
