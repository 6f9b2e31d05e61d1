//! A reply waits for a file that a file thread looks up; later requests of the same client wait for the reply.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::handler::{FILE_SIZE, Handler, file_of, get, reply, small, statuses};
use super::script::{Event, MOVED, Room, STILL, TestLoop};
use crate::config::{LogFormat, ServerConfig};
use crate::handler::exchange::Exchange;
use crate::handler::work::Work;
use crate::handler::{BaseHttpRequestHandler, HandlerResult};
use crate::http::status::HttpStatus;
use crate::server::connection::readable::Readable;
use crate::server::event_loop::timers::Timeout;
use crate::wire::file_source::FilePart;
use crate::wire::file_threads::DroppedByThread;
use crate::wire::next::Next;
use crate::wire::source::Fill;

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// A file that is looked up by a thread, which the test plays.
#[derive(Debug, Default)]
pub(super) struct SlowFile {
    is_there: AtomicBool,
    /// How many works were told that the client has closed its side.
    told: AtomicUsize,
}

/// Answers targets that begin with `/slow` when the file is there, `/body` with a body that file threads read, and others as
/// [`Handler`] does.
pub(super) struct SlowHandler {
    handler: Handler,
    /// Has one reference more than there are works that were not dropped.
    file: Arc<SlowFile>,
    pub(super) body: Arc<File>,
}

struct SlowWork {
    file: Arc<SlowFile>,
    path: String,
    copy: File,
}

impl SlowHandler {
    fn new() -> Self {
        let handler = Handler::new();
        Self {
            body: Arc::new(handler.file.try_clone().unwrap()),
            handler,
            file: Arc::default(),
        }
    }

    /// Sends a body that only file threads read.
    fn send_by_threads(&self, exchange: &mut Exchange<'_>) {
        let threads = exchange.server().file_threads().unwrap().clone();
        let file = DroppedByThread::new(Arc::clone(&self.body), &threads);
        exchange.send_response(HttpStatus::OK);
        exchange.end_headers();
        exchange.send_by_threads(file, [FilePart::Range(0..FILE_SIZE as u64)]);
    }
}

impl BaseHttpRequestHandler for SlowHandler {
    fn version_string(&self) -> String {
        self.handler.version_string()
    }

    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        if exchange.path().starts_with("/slow") {
            let work = SlowWork {
                file: Arc::clone(&self.file),
                path: exchange.path().to_owned(),
                copy: self.handler.file.try_clone()?,
            };
            exchange.work(Box::new(work));
            return Ok(());
        }
        if exchange.path() == "/body" {
            self.send_by_threads(exchange);
            return Ok(());
        }
        self.handler.do_get(exchange)
    }

    fn do_head(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.do_get(exchange)
    }
}

impl Work for SlowWork {
    fn advance(&mut self, _until: Instant) -> Fill {
        if self.file.is_there.load(Ordering::Relaxed) {
            Fill::Done
        } else {
            Fill::NotNow
        }
    }

    fn note_client_left(&self) {
        self.file.told.fetch_add(1, Ordering::Relaxed);
    }

    fn reply(self: Box<Self>, exchange: &mut Exchange<'_>) -> io::Result<()> {
        match self.path.as_str() {
            "/slow-error" => return Err(io::Error::other("as it was asked")),
            "/slow-panic" => panic!("as it was asked"),
            "/slow-twice" => {
                self.file.is_there.store(false, Ordering::Relaxed);
                let path = "/slow".to_owned();
                exchange.work(Box::new(Self { path, ..*self }));
                return Ok(());
            }
            _ => exchange.send_response(HttpStatus::OK),
        }
        if self.path == "/slow-file" {
            exchange.end_headers();
            exchange.copyfile(self.copy, 0..FILE_SIZE as u64);
        } else {
            exchange.send_header("X", "y");
            exchange.end_headers();
            exchange.wfile().write_all(b"hello\n")?;
        }
        Ok(())
    }
}

fn stage() -> TestLoop<SlowHandler> {
    stage_with(ServerConfig::default())
}

/// Makes a loop with so much time for work that the time never ends a call.
pub(super) fn stage_with(config: ServerConfig) -> TestLoop<SlowHandler> {
    let mut stage = TestLoop::with_handler(SlowHandler::new(), config);
    stage.time = Duration::from_secs(3600);
    stage
}

impl TestLoop<SlowHandler> {
    /// The file thread is done. The waker gives the connection a turn.
    fn find(&mut self) {
        self.context
            .handler
            .file
            .is_there
            .store(true, Ordering::Relaxed);
    }

    /// The works that were not dropped.
    fn works(&self) -> usize {
        Arc::strong_count(&self.context.handler.file) - 1
    }

    fn told(&self) -> usize {
        self.context.handler.file.told.load(Ordering::Relaxed)
    }

    pub(super) fn awaits_file(&self) -> bool {
        self.connection.awaits() == Some(Timeout::File) && self.connection.is_awaiting()
    }
}

#[test]
pub(super) fn a_request_waits_for_its_file_and_its_successors_wait_for_it() {
    for (path, expected) in [("/slow", small()), ("/slow-file", file_of(FILE_SIZE))] {
        let mut stage = stage();
        let requests = [get("/small"), get(path), get("/small")].concat();
        assert_eq!(stage.receive(requests), MOVED);
        assert_eq!(stage.output(), small());
        assert_eq!(stage.state(), "Awaiting");
        assert!(stage.awaits_file());
        let reads = stage.script().reads;
        assert_eq!(stage.receive(get("/none")), STILL);
        assert_eq!(stage.advance(Readable::No), STILL);
        assert_eq!(stage.script().reads, reads, "its bytes can wait");
        stage.find();
        assert_eq!(stage.advance(Readable::No), MOVED);
        let none = reply("204 No Content", "X: y\r\n", b"");
        assert!(stage.output() == [expected, small(), none].concat());
        assert!(stage.connection.is_idle());
        assert_eq!((stage.works(), stage.told()), (0, 0));
    }
}

#[test]
pub(super) fn a_file_that_is_there_at_once_costs_no_turn() {
    let mut stage = stage();
    stage.find();
    stage.receive([get("/slow"), get("/small")].concat());
    assert_eq!(stage.output(), small().repeat(2));
    assert_eq!(stage.script().reads, 1);
}

#[test]
pub(super) fn a_file_that_does_not_come_in_time_is_a_503_and_the_connection_goes_on() {
    let mut stage = stage();
    stage.receive([get("/slow"), get("/small"), get("/slow")].concat());
    assert_eq!(stage.expire(), MOVED);
    let output = String::from_utf8(stage.output()).unwrap();
    assert_eq!(statuses(output.as_bytes()), [503, 200], "{output}");
    assert_eq!(output.matches("\r\nRetry-After: 5\r\n").count(), 1);
    assert!(!output.contains("Connection: close"), "{output}");
    assert_eq!(stage.works(), 1, "the third request waits for its own file");
    assert!(stage.awaits_file());
    stage.find();
    assert_eq!(stage.advance(Readable::No), MOVED);
    assert_eq!(stage.output(), small());
    // The thread comes back when nothing waits for it any more.
    assert_eq!(stage.advance(Readable::No), STILL);
    assert_eq!((stage.state(), stage.works()), ("Reading(None)", 0));
}

#[test]
pub(super) fn a_head_request_and_a_last_request_get_their_503_too() {
    let mut stage = stage();
    stage.receive("HEAD /slow HTTP/1.1\r\nHost: h\r\n\r\n");
    stage.expire();
    let output = String::from_utf8(stage.output()).unwrap();
    assert_eq!(statuses(output.as_bytes()), [503]);
    assert!(output.ends_with("\r\n\r\n"), "{output}");
    stage.receive("GET /slow HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_eq!(stage.expire(), Next::Close);
    let output = String::from_utf8(stage.output()).unwrap();
    assert_eq!(statuses(output.as_bytes()), [503]);
    assert!(output.contains("\r\nConnection: close\r\n"), "{output}");
}

#[test]
pub(super) fn a_reply_that_fails_after_the_wait_is_a_500_and_the_connection_goes_on() {
    for path in ["/slow-error", "/slow-panic"] {
        let mut stage = stage();
        stage.receive([get(path), get("/small")].concat());
        stage.find();
        stage.advance(Readable::No);
        assert_eq!(statuses(&stage.output()), [500, 200], "{path}");
        assert_eq!(stage.works(), 0);
    }
}

#[test]
pub(super) fn a_second_wait_of_the_same_request_has_a_deadline_of_its_own() {
    let mut stage = stage();
    stage.receive([get("/slow-twice"), get("/small")].concat());
    stage.find();
    assert_eq!(stage.advance(Readable::No), MOVED, "the first wait is over");
    assert!(stage.awaits_file());
    assert_eq!((stage.output().len(), stage.works()), (0, 1));
    stage.find();
    assert_eq!(stage.advance(Readable::No), MOVED);
    assert_eq!(stage.output(), small().repeat(2));
}

#[test]
pub(super) fn a_client_that_has_closed_its_side_is_told_of_and_gets_its_replies() {
    // Before the request waits, while a reply before it is still to leave, and while it waits.
    for (when, room) in [(0, None), (1, Some(Room::WouldBlock)), (1, None)] {
        let mut stage = stage();
        stage.script().room.extend(room);
        if when == 0 {
            stage.connection.peer_left();
        }
        let requests = [get("/small"), get("/slow"), get("/small")].concat();
        stage.receive_last(requests, Event::Eof);
        if when == 1 {
            stage.connection.peer_left();
        }
        assert_eq!(stage.told(), 1, "{when} {room:?}");
        stage.drain();
        assert!(stage.awaits_file());
        assert!(stage.told() >= 1 && stage.works() == 1);
        stage.find();
        stage.play();
        assert_eq!(stage.output(), small().repeat(3));
        assert_eq!(stage.state(), "Closed");
    }
}

#[test]
pub(super) fn work_is_dropped_when_its_client_is_gone_at_any_point() {
    let requests = [get("/slow"), get("/small"), get("/slow"), get("/slow-file")].concat();
    for length in 0..=requests.len() {
        for found in [false, true] {
            let mut stage = stage();
            stage.receive(&requests[..length]);
            if found {
                stage.find();
                stage.advance(Readable::No);
            }
            stage.connection.abandon(&mut stage.context);
            assert_eq!(stage.works(), 0, "{length} {found}");
            assert_eq!(stage.advance(Readable::No), Next::Close);
        }
    }
}

#[test]
pub(super) fn requests_may_be_cut_and_half_closed_at_any_point_around_a_wait() {
    let requests = [
        get("/small"),
        get("/slow"),
        get("/slow-file"),
        get("/small"),
    ];
    let replies = [small(), small(), file_of(FILE_SIZE), small()];
    let bytes = requests.concat();
    for cut in 0..=bytes.len() {
        for found_before in [false, true] {
            let mut stage = stage();
            if found_before {
                stage.find();
            }
            stage.receive(&bytes[..cut]);
            if cut % 2 == 0 {
                stage.receive(&bytes[cut..]);
                stage.connection.peer_left();
                stage.receive_last("", Event::Eof);
            } else {
                stage.connection.peer_left();
                stage.receive_last(&bytes[cut..], Event::Eof);
            }
            stage.find();
            stage.play();
            assert!(stage.output() == replies.concat(), "{cut} {found_before}");
            assert_eq!((stage.state(), stage.works()), ("Closed", 0));
        }
    }
}

pub(super) fn json() -> ServerConfig {
    ServerConfig::default().with(|config| config.log_format = LogFormat::Json)
}

/// What each line of the log says about the wait.
pub(super) fn limits(stage: &TestLoop<SlowHandler>) -> Vec<String> {
    let log = stage.log();
    let limit = |line: &str| line.rsplit_once("\"limited\":").unwrap().1.to_owned();
    log.lines().map(limit).collect()
}

#[test]
pub(super) fn the_log_says_that_a_reply_has_waited_for_a_file() {
    let mut stage = stage_with(json());
    stage.receive(get("/slow"));
    stage.context.clock.instant += SECOND;
    stage.find();
    stage.advance(Readable::No);
    assert_eq!(limits(&stage), ["\"disk\"}"]);
    stage.receive(get("/small"));
    assert_eq!(limits(&stage), ["\"disk\"}", "null}"]);
    let mut stage = stage_with(json());
    stage.receive(get("/slow"));
    stage.expire();
    assert_eq!(limits(&stage), ["\"disk\"}"]);
}
