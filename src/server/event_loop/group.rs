//! Reads from several connections before the first of them is answered, so that one look at the file system serves them all.
//!
//! Invariant: every byte of a group was read before its epoch begins, so a look within the epoch is later than each of its
//! requests. What does not fit a member's room is read later, and that read begins an epoch of its own.

use std::mem;
use std::ops::Range;

use super::EventLoop;
use crate::handler::BaseHttpRequestHandler;
use crate::server::connection::readable::Readable;

/// Connections that share one look at the file system; it costs a tenth of a request.
const MEMBERS: usize = 64;
/// Bytes that are read from one member; most heads are far shorter.
const ROOM: usize = 8 * 1024;

/// Connections whose requests have been read and not answered.
#[derive(Debug, Default)]
pub(super) struct Group {
    members: Vec<Member>,
    /// What was read, one member behind the other. It is made when it is first needed, and only those of its pages are used
    /// that were read into.
    buffer: Box<[u8]>,
    used: usize,
}

#[derive(Debug)]
struct Member {
    key: usize,
    /// Where in the buffer its bytes are.
    bytes: Range<usize>,
    /// Whether the poll knows its socket.
    known: bool,
}

impl<H: BaseHttpRequestHandler> EventLoop<H> {
    /// Reads from a connection that has bytes: into the group where it is idle, else in a turn of its own.
    pub(super) fn receive(&mut self, key: usize) {
        let Some(slot) = self.connections.get_mut(key) else {
            return;
        };
        if slot.queued || !slot.connection.is_idle() {
            return self.advance(key, Readable::Bytes);
        }
        let group = &mut self.group;
        if group.buffer.is_empty() {
            group.buffer = vec![0; MEMBERS * ROOM].into();
        }
        let start = group.used;
        let room = group
            .buffer
            .get_mut(start..start + ROOM)
            .unwrap_or_default();
        match slot.connection.receive(room) {
            Ok(Some(length)) => {
                group.used += length;
                group.members.push(Member {
                    key,
                    bytes: start..start + length,
                    known: slot.known,
                });
                if group.members.len() == MEMBERS {
                    self.answer_group();
                }
            }
            // Nothing came with it after all.
            Ok(None) if !slot.known => {
                self.wait_for_request(key);
                self.make_known(key);
            }
            Ok(None) => {}
            Err(error) => self.answer(key, Err(error)),
        }
    }

    /// Answers the requests of the group. Whatever may close a connection of it, or end the loop, calls this first: a request
    /// that was read is not lost.
    pub(super) fn answer_group(&mut self) {
        if self.group.members.is_empty() {
            return;
        }
        self.context.clock.begin_epoch();
        let mut group = mem::take(&mut self.group);
        for Member { key, bytes, known } in group.members.drain(..) {
            self.answer(key, Ok(group.buffer.get(bytes).unwrap_or_default()));
            if !known {
                self.make_known(key);
            }
        }
        group.used = 0;
        self.group = group;
    }
}
