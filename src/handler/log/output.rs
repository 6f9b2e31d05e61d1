//! Lines on their way to standard error or to a file, and those that were lost on it.
//!
//! Invariant: no reader makes the loop wait. Beyond [`MAX_WAITING`] lines are dropped, and counted.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::wire::log_file::{LogOutput, Taken};
use crate::wire::stderr::Stderr;

/// Bytes of lines that wait. Beyond this, new lines are dropped.
const MAX_WAITING: usize = 256 * 1024;

/// How often, and at what interval, the last lines are written again before the server ends without them.
const LAST_TRIES: u32 = 50;
const LAST_PAUSE: Duration = Duration::from_millis(10);

/// Where lines go.
#[derive(Debug)]
pub(super) enum Sink {
    Stderr(Stderr),
    File(Arc<LogOutput>),
}

/// The lines of one loop that wait for their sink.
#[derive(Debug)]
pub(super) struct Output {
    waiting: Vec<u8>,
    /// Lines that were dropped and not reported yet.
    lost: u64,
    pub(super) lost_in_all: u64,
    /// Whether the file has taken only a part of a line of this loop.
    is_torn: bool,
    /// Why the file takes no more lines, until it is reported.
    failure: Option<io::Error>,
    sink: Sink,
}

impl Output {
    pub(super) fn new(sink: Sink) -> Self {
        Self {
            waiting: Vec::new(),
            lost: 0,
            lost_in_all: 0,
            is_torn: false,
            failure: None,
            sink,
        }
    }

    /// Sends the lines to another sink from now on; what waits goes there only if the present one does not take it now.
    pub(super) fn switch(&mut self, sink: Sink) {
        self.flush();
        self.sink = sink;
    }

    /// Adds the line that `write` appends, or drops it where too many wait.
    pub(super) fn line(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.waiting.len() > MAX_WAITING {
            self.flush();
        }
        if self.waiting.len() > MAX_WAITING {
            self.count_lost(1);
            return;
        }
        self.write_lost_count();
        write(&mut self.waiting);
    }

    /// Adds a text of the server itself, line ends included.
    pub(super) fn text(&mut self, text: impl Display) {
        self.line(|line| {
            // Writing to memory cannot fail, here and below.
            let _ = write!(line, "{text}");
        });
    }

    /// Writes to standard error how many lines were lost since the last one that got through. In a file this would not be a line of
    /// its format.
    fn write_lost_count(&mut self) {
        if self.lost > 0 && matches!(self.sink, Sink::Stderr(_)) {
            let lost = self.take_lost();
            let _ = writeln!(
                self.waiting,
                "httpoll: {lost} log lines were lost before this one"
            );
        }
    }

    /// Returns how many lines were lost since the last call.
    pub(super) fn take_lost(&mut self) -> u64 {
        mem::take(&mut self.lost)
    }

    /// Returns, once, why the file has begun to fail.
    pub(super) fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    fn count_lost(&mut self, lines: u64) {
        self.lost += lines;
        self.lost_in_all += lines;
    }

    /// Drops and counts all lines that wait.
    pub(super) fn drop_waiting(&mut self) {
        let ends = self.waiting.iter().filter(|byte| **byte == b'\n');
        self.count_lost(ends.count() as u64);
        self.waiting.clear();
        self.is_torn = false;
    }

    /// Returns whether the sink has not taken all lines yet.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || self.is_torn
    }

    /// Writes as many lines as the sink takes now. If standard error fails, all lines are lost, and counted. If a file fails, they
    /// wait, because a full disk may have room again.
    pub(super) fn flush(&mut self) {
        if !self.is_waiting() {
            return;
        }
        let written = match &mut self.sink {
            Sink::Stderr(stderr) => stderr.write(&self.waiting),
            Sink::File(file) => file.write(&self.waiting).map(|Taken { length, is_torn }| {
                self.is_torn = is_torn;
                length
            }),
        };
        match written {
            Ok(length) if length == self.waiting.len() => self.waiting.clear(),
            Ok(length) => drop(self.waiting.drain(..length)),
            Err(error) if matches!(self.sink, Sink::File(_)) => self.failure = Some(error),
            Err(_) => self.drop_waiting(),
        }
    }

    /// Writes the last lines. A sink that takes none has half a second.
    pub(super) fn finish(&mut self) {
        self.write_lost_count();
        for _ in 0..LAST_TRIES {
            self.flush();
            if !self.is_waiting() {
                return;
            }
            thread::sleep(LAST_PAUSE);
        }
    }
}
