//! A reply waits for its work, which is done slice by slice, and later requests of the same client wait for the reply.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::handler::{get, statuses};
use super::script::{Event, Room, TestLoop};
use crate::config::{LogFormat, ServerConfig};
use crate::handler::exchange::Exchange;
use crate::handler::log::LogEntry;
use crate::handler::work::Work;
use crate::handler::{BaseHttpRequestHandler, HandlerResult};
use crate::http::status::HttpStatus;
use crate::server::connection::readable::Readable;
use crate::wire::next::Next;
use crate::wire::source::{Fill, Source};

/// The time that a slice takes at least.
const SLICE: Duration = Duration::from_millis(2);

/// Answers `/N` with a stream when N slices of work are done, and other targets at once.
struct Worker {
    /// Has one reference more than there are works that were not dropped.
    works: Arc<()>,
}

struct Slices {
    left: usize,
    ending: String,
    _counted: Arc<()>,
}

impl BaseHttpRequestHandler for Worker {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let (number, ending) = exchange.path()[1..].split_once('-').unwrap_or_default();
        if exchange.path().contains("begun") {
            exchange.send_response(HttpStatus::OK);
        } else if exchange.path().contains("field") {
            exchange.send_header("X", "y");
        }
        match number.parse() {
            Ok(left) => exchange.work(Box::new(Slices {
                left,
                ending: ending.to_owned(),
                _counted: Arc::clone(&self.works),
            })),
            Err(_) => exchange.send_response(HttpStatus::ACCEPTED),
        }
        Ok(())
    }

    fn log_request(&mut self, entry: &LogEntry<'_>, line: &mut Vec<u8>) {
        writeln!(line, "] {:?}", entry.duration() >= 5 * SLICE).unwrap();
    }
}

impl Work for Slices {
    fn advance(&mut self, _until: Instant) -> Fill {
        let began = Instant::now();
        while began.elapsed() < SLICE {}
        assert!(self.left > 1 || self.ending != "panic", "as it was asked");
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            Fill::Done
        } else {
            Fill::More
        }
    }

    fn reply(self: Box<Self>, exchange: &mut Exchange<'_>) -> io::Result<()> {
        if self.ending == "error" {
            return Err(io::Error::other("as it was asked"));
        }
        exchange.send_response(HttpStatus::OK);
        exchange.end_headers();
        exchange.stream_as_work(Box::new(WorkSource(100)));
        Ok(())
    }
}

struct WorkSource(usize);

impl Source for WorkSource {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        out.resize(out.len() + 5000, b'x');
        self.0 -= 1;
        Ok(if self.0 > 0 { Fill::More } else { Fill::Done })
    }
}

/// Makes a loop with so much time for work that the time never ends a call.
fn stage() -> TestLoop<Worker> {
    let works = Arc::new(());
    let mut stage = TestLoop::with_handler(Worker { works }, ServerConfig::default());
    stage.time = Duration::from_secs(3600);
    stage
}

#[test]
pub(super) fn each_turn_does_a_slice_and_replies_stay_in_order() {
    let mut stage = stage();
    let requests = [get("/now"), get("/3-"), get("/now")].concat();
    let mut outcome = stage.receive(requests);
    for _ in 0..2 {
        assert_eq!(outcome, Next::Work);
        assert_eq!(stage.state(), "Awaiting");
        assert!(outcome.progress, "its deadline starts again");
        outcome = stage.advance(Readable::No);
    }
    assert_eq!(outcome, Next::Work, "the stream has had its share");
    stage.play();
    assert_eq!(statuses(&stage.output()), [202, 200, 202]);
    assert!(stage.connection.is_idle());
}

#[test]
pub(super) fn without_time_nothing_goes_on() {
    let mut stage = stage();
    stage.time = Duration::ZERO;
    assert_eq!(stage.receive(get("/1-")), Next::Work);
    assert_eq!(stage.advance(Readable::No), Next::Work);
    assert_eq!((stage.state(), stage.output().len()), ("Awaiting", 0));
    stage.time = Duration::from_secs(3600);
    assert_eq!(stage.advance(Readable::No), Next::Work);
    let sent = stage.output().len();
    assert!((1..100_000).contains(&sent), "{sent}");
    stage.time = Duration::ZERO;
    assert_eq!(stage.advance(Readable::No), Next::Work);
    assert_eq!((stage.state(), stage.output().len()), ("Streaming", 0));
    assert_eq!(
        stage.connection.left(),
        0,
        "it waits for time, not for bytes"
    );
}

#[test]
pub(super) fn work_that_fails_or_panics_is_a_500_and_the_connection_goes_on() {
    for path in ["/2-error", "/2-panic", "/2-begun", "/2-field"] {
        let mut stage = stage();
        let output = stage.answer(&[&[get(path), get("/now")].concat()]);
        assert_eq!(statuses(&output), [500, 202], "{path}");
        assert_eq!(Arc::strong_count(&stage.context.handler.works), 1);
    }
}

#[test]
pub(super) fn work_is_given_up_when_its_client_has_left() {
    let mut stage = stage();
    stage.receive(get("/9-"));
    assert_eq!(Arc::strong_count(&stage.context.handler.works), 2);
    stage.connection.abandon(&mut stage.context);
    assert_eq!(Arc::strong_count(&stage.context.handler.works), 1);
}

#[test]
pub(super) fn a_client_that_has_only_closed_its_side_gets_its_reply() {
    let mut stage = stage();
    stage.receive_last(get("/3-"), Event::Eof);
    stage.connection.peer_left();
    stage.play();
    assert_eq!(statuses(&stage.output()), [200]);
}

#[test]
pub(super) fn the_log_counts_the_time_of_the_work() {
    let config = ServerConfig {
        log_format: LogFormat::Json,
        ..ServerConfig::default()
    };
    let works = Arc::new(());
    let mut stage = TestLoop::with_handler(Worker { works }, config);
    stage.receive(get("/5-"));
    stage.play();
    assert_eq!(stage.logged(), ["true"]);
}

#[test]
pub(super) fn a_stream_of_work_waits_for_the_socket_as_others_do() {
    let mut stage = stage();
    stage.script().room.push_back(Room::Take(10));
    assert_eq!(stage.receive(get("/1-")), Next::Wait);
    assert_eq!(stage.state(), "WritingHeaders");
    stage.drain();
    stage.play();
    assert!(stage.connection.is_idle());
}
