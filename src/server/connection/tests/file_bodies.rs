//! A body that file threads read piece by piece.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::task::Waker;

use super::files::{SECOND, SlowHandler, json, limits, stage_with};
use super::handler::{FILE_SIZE, content, file_of, get, small, statuses};
use super::script::{Event, MOVED, Room, STILL, TestLoop};
use crate::config::ServerConfig;
use crate::server::connection::readable::Readable;
use crate::server::event_loop::timers::Timeout;
use crate::wire::file_threads::{FileThreads, Locality, Pending};
use crate::wire::next::Next;

/// A loop whose one file thread does nothing before it is released.
struct Held {
    stage: TestLoop<SlowHandler>,
    threads: FileThreads,
    release: Sender<()>,
    pending: Pending<()>,
}

impl Held {
    fn new(config: ServerConfig) -> Self {
        let mut stage = stage_with(config);
        let threads = FileThreads::new(1, 3600 * SECOND).unwrap();
        threads.start().unwrap();
        let info = stage.context.server.clone();
        stage.context.server = info.with_file_threads(Some(threads.clone()));
        let (release, released) = channel::<()>();
        let wait = move || {
            let _ = released.recv();
        };
        let pending = threads
            .submit(Waker::noop().clone(), Locality::Remote, wait)
            .unwrap();
        Self {
            stage,
            threads,
            release,
            pending,
        }
    }

    /// Lets the thread read what it was asked for.
    fn release(self) -> (TestLoop<SlowHandler>, FileThreads) {
        drop(self.release);
        while self.pending.poll().is_pending() {
            std::thread::yield_now();
        }
        (self.stage, self.threads)
    }
}

#[test]
pub(super) fn a_body_waits_for_the_thread_that_reads_it() {
    let mut held = Held::new(ServerConfig::default());
    let stage = &mut held.stage;
    assert_eq!(
        stage.receive([get("/body"), get("/small")].concat()),
        MOVED,
        "the head has left"
    );
    let head = file_of(FILE_SIZE).len() - FILE_SIZE;
    assert_eq!(stage.output(), file_of(FILE_SIZE)[..head]);
    assert_eq!(stage.state(), "Streaming");
    assert!(stage.awaits_file());
    assert_eq!(stage.advance(Readable::No), STILL);
    // It ends, so the end of the server waits for it.
    assert!(!stage.connection.is_endless() && !stage.connection.is_silent());
    let (mut stage, threads) = held.release();
    stage.play();
    assert!(stage.output() == [content(FILE_SIZE), small()].concat());
    assert!(stage.connection.is_idle());
    // The held job and two pieces.
    assert_eq!(threads.figures().done, 3);
}

#[test]
pub(super) fn a_body_that_does_not_come_in_time_ends_its_connection() {
    let mut held = Held::new(ServerConfig::default());
    held.stage.receive([get("/body"), get("/small")].concat());
    assert_eq!(held.stage.expire(), Next::Close);
    assert_eq!(held.stage.state(), "Closed");
    assert_eq!(statuses(&held.stage.output()), [200]);
    assert_eq!(held.stage.logged(), ["\"GET /body HTTP/1.1\" 200 0"]);
    let (stage, threads) = held.release();
    // The thread drops the file, and does not read it.
    while Arc::strong_count(&stage.context.handler.body) > 1 {
        std::thread::yield_now();
    }
    assert_eq!(threads.figures().queued, 0);
}

#[test]
pub(super) fn a_body_is_sent_to_a_client_that_has_closed_its_side() {
    let mut held = Held::new(ServerConfig::default());
    held.stage.receive_last(get("/body"), Event::Eof);
    held.stage.connection.peer_left();
    assert!(held.stage.awaits_file());
    let (mut stage, _threads) = held.release();
    stage.play();
    assert!(stage.output() == file_of(FILE_SIZE));
    assert_eq!(stage.state(), "Closed");
}

#[test]
fn a_body_that_the_socket_does_not_take_waits_for_the_socket() {
    let mut held = Held::new(ServerConfig::default());
    let head = file_of(FILE_SIZE).len() - FILE_SIZE;
    held.stage.script().room = [Room::Take(head), Room::Take(10)].into();
    held.stage.receive(get("/body"));
    assert!(held.stage.awaits_file());
    let (mut stage, _threads) = held.release();
    while stage.awaits_file() {
        std::thread::yield_now();
        stage.advance(Readable::No);
    }
    assert_eq!(stage.connection.awaits(), Some(Timeout::Send));
    assert_eq!(stage.output().len(), head + 10);
    stage.drain();
    stage.play();
    assert_eq!(stage.output().len(), FILE_SIZE - 10);
}

#[test]
pub(super) fn a_head_request_reads_nothing_of_a_body() {
    let mut held = Held::new(ServerConfig::default());
    held.stage.receive("HEAD /body HTTP/1.1\r\nHost: h\r\n\r\n");
    let head = file_of(FILE_SIZE).len() - FILE_SIZE;
    assert_eq!(held.stage.output(), file_of(FILE_SIZE)[..head]);
    assert!(held.stage.connection.is_idle());
    let (_stage, threads) = held.release();
    while threads.figures().done == 0 {
        std::thread::yield_now();
    }
    assert_eq!(threads.figures().done, 1, "the job that was held");
}

#[test]
pub(super) fn the_log_says_that_a_body_has_waited_for_a_file() {
    let mut held = Held::new(json());
    held.stage.receive(get("/body"));
    held.stage.context.clock.instant += SECOND;
    let (mut stage, _threads) = held.release();
    stage.play();
    assert_eq!(limits(&stage), ["\"disk\"}"]);
}
