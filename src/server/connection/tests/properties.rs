//! Compares the whole connection with a model that reads the bytes from front to back. However the bytes are cut, each complete
//! request is answered once and in order, and bytes that cannot be a request are refused once and end the connection; see
//! [`crate::http::properties`].

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::time::Instant;

use rustix::fs::{MemfdFlags, memfd_create};

use super::handler::content;
use super::model::{LARGE, Model, ModelRequest};
use super::script::wire;
use super::script::{Event, Room, TestLoop};
use crate::config::ServerConfig;
use crate::handler::exchange::Exchange;
use crate::handler::work::Work;
use crate::handler::{BaseHttpRequestHandler, HandlerResult};
use crate::http::properties::{take_byte, take_cuts};
use crate::http::status::HttpStatus;
use crate::server::scratch::Scratch;
use crate::wire::source::{Fill, Source};

/// How the bytes come, how the replies leave, and what a turn may do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) cuts: Vec<usize>,
    pub(super) room: Vec<Room>,
    pub(super) scratch: usize,
    pub(super) turn_requests: usize,
    pub(super) turn_bytes: usize,
    pub(super) hasty: bool,
    pub(super) http09: bool,
    /// How often the loop asks for a file before it is there.
    pub(super) waits: usize,
}

/// Checks the property; the first bytes of `input` are the plan, the others are what the client sends.
pub fn connection(mut input: &[u8]) {
    let flags = take_byte(&mut input);
    let room = take_byte(&mut input) % 16;
    let room = (0..room).map(|_| match take_byte(&mut input) {
        0 => Room::WouldBlock,
        255 => Room::Take(usize::MAX),
        length => Room::Take(usize::from(length) * usize::from(length)),
    });
    let mut plan = Plan {
        room: room.collect(),
        scratch: [1, 7, 300, 64 * 1024][usize::from(flags % 4)],
        turn_requests: [1, 3, 64][usize::from(flags / 4 % 3)],
        turn_bytes: [1000, 20_000, 1 << 20][usize::from(flags / 16 % 3)],
        hasty: flags & 64 > 0,
        http09: flags & 128 > 0,
        waits: usize::from(flags % 4),
        ..Plan::default()
    };
    let (cuts, bytes) = take_cuts(&mut input);
    plan.cuts = cuts;
    check(plan, bytes);
}

/// Checks one conversation, and returns the statuses of its replies.
pub(super) fn check(plan: Plan, bytes: &[u8]) -> Vec<u16> {
    let config = ServerConfig {
        max_request_line: 200,
        max_head: 1000,
        max_body: 500,
        max_discard: 300,
        http09: plan.http09,
        ..ServerConfig::default()
    };
    let expected = Model::of(bytes, &config);
    let mut whole = stage(config.clone(), 0);
    let output = whole.answer(&[bytes]);
    let statuses = expected.assert_met(&whole, &output);

    let config = config.with(|config| {
        config.tuning.turn_requests = plan.turn_requests;
        config.tuning.turn_bytes = plan.turn_bytes;
    });
    for (half_closes, over_tls) in [false, true]
        .into_iter()
        .flat_map(|half_closes| wire::BOTH.map(|over_tls| (half_closes, over_tls)))
    {
        wire::set(over_tls);
        let mut stage = stage(config.clone(), plan.waits);
        wire::set(false);
        stage.scratch = Scratch::new(plan.scratch);
        stage.script().room = plan.room.clone().into();
        stage.hasty = plan.hasty;
        stage.coming.extend(cut(bytes, &plan.cuts));
        if half_closes {
            // The end comes while replies are still waited for, or on their way.
            stage.coming.push_back(Event::Eof);
        }
        stage.play();
        let cut = stage.output();
        if !half_closes {
            let statuses_cut = expected.assert_met(&stage, &cut);
            assert!(expected.depends_on_cuts() || statuses == statuses_cut);
            stage.coming.push_back(Event::Eof);
            stage.play();
            assert!(stage.output().is_empty());
        }
        assert_eq!(stage.state(), "Closed");
        if !expected.depends_on_cuts() {
            assert!(
                cut == output,
                "{}\n---\n{}",
                cut.escape_ascii(),
                output.escape_ascii()
            );
        }
    }
    statuses
}

fn stage(config: ServerConfig, waits: usize) -> TestLoop<ModelHandler> {
    let mut stage = TestLoop::with_handler(ModelHandler::new(waits), config);
    stage.patience = waits + 1;
    stage
}

/// The bytes of the client in pieces, each with its event.
fn cut(bytes: &[u8], cuts: &[usize]) -> Vec<Event> {
    let ends = cuts.iter().copied().chain([bytes.len()]);
    let pieces = ends.scan(0, |start, end| {
        Some(&bytes[std::mem::replace(start, end)..end])
    });
    pieces
        .filter(|piece| !piece.is_empty())
        .map(|piece| Event::Bytes(piece.to_vec()))
        .collect()
}

/// Replies with what it was asked, in every way a handler can.
#[derive(Debug)]
pub(super) struct ModelHandler {
    file: File,
    /// How often the loop asks for a file before it is there.
    waits: usize,
    pub(super) asked: Vec<ModelRequest>,
}

impl ModelHandler {
    fn new(waits: usize) -> Self {
        let mut file = File::from(memfd_create("file", MemfdFlags::CLOEXEC).unwrap());
        file.write_all(&content(LARGE)).unwrap();
        Self {
            file,
            waits,
            asked: Vec::new(),
        }
    }
}

impl BaseHttpRequestHandler for ModelHandler {
    fn reads_body(&self, _command: &str, path: &str) -> bool {
        path != "/skip"
    }

    fn handle_one_request(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let mut body = Vec::new();
        if self.reads_body(exchange.command(), exchange.path()) {
            exchange.rfile().read_to_end(&mut body)?;
        }
        let asked = ModelRequest {
            command: exchange.command().to_owned(),
            path: exchange.path().to_owned(),
            body,
        };
        self.asked.push(asked.clone());
        let reply = PlannedReply {
            number: self.asked.len(),
            file: self.file.try_clone()?,
            waits: self.waits,
            asked,
        };
        match reply.asked.path.as_str() {
            "/slow" | "/slow/file" | "/late" => exchange.work(Box::new(reply)),
            _ => reply.send(exchange)?,
        }
        Ok(())
    }
}

/// The reply to a request. It may wait for a file first, and that of `/late` never comes.
#[derive(Debug)]
struct PlannedReply {
    asked: ModelRequest,
    number: usize,
    file: File,
    waits: usize,
}

impl Work for PlannedReply {
    fn advance(&mut self, _until: Instant) -> Fill {
        if self.asked.path == "/late" {
            return Fill::NotNow;
        }
        match self.waits.checked_sub(1) {
            Some(waits) => {
                self.waits = waits;
                Fill::NotNow
            }
            None => Fill::Done,
        }
    }

    fn reply(self: Box<Self>, exchange: &mut Exchange<'_>) -> io::Result<()> {
        self.send(exchange)
    }
}

impl PlannedReply {
    fn send(self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        let Self { asked, .. } = self;
        exchange.send_response(HttpStatus::new(asked.status()).unwrap());
        exchange.send_header("X-Number", self.number.to_string());
        if asked.path == "/misuse" {
            exchange.send_header("A", "b\r\nC: d");
        }
        if asked.is_last() {
            exchange.set_close_connection(true);
        }
        exchange.end_headers();
        match asked.path.as_str() {
            "/file" | "/slow/file" => exchange.copyfile(self.file, 0..LARGE as u64),
            "/stream" => {
                let piece = asked.said();
                let pieces = piece.chunks(piece.len() / 3).map(<[u8]>::to_vec).collect();
                exchange.stream(Box::new(PlannedSource {
                    pieces,
                    pause: true,
                }));
            }
            "/error" => {
                exchange.wfile().write_all(b"partial")?;
                return Err(io::Error::other("no such luck"));
            }
            _ => exchange.wfile().write_all(&asked.said())?,
        }
        Ok(())
    }
}

/// A source that has nothing every other time.
#[derive(Debug)]
struct PlannedSource {
    pieces: std::collections::VecDeque<Vec<u8>>,
    pause: bool,
}

impl Source for PlannedSource {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        self.pause = !self.pause;
        if !self.pause {
            return Ok(Fill::More);
        }
        let Some(piece) = self.pieces.pop_front() else {
            return Ok(Fill::Done);
        };
        out.extend_from_slice(&piece);
        Ok(Fill::More)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::properties::replay;

    const PATHS: [&str; 13] = [
        "/",
        "/x?y",
        "/none",
        "/unchanged",
        "/error",
        "/misuse",
        "/stream",
        "/file",
        "/large",
        "/skip",
        "/slow",
        "/slow/file",
        "/late",
    ];

    /// A request that must be answered.
    fn request() -> impl Strategy<Value = Vec<u8>> {
        let command = prop::sample::select(vec!["GET", "GET", "HEAD", "POST", "PUT", "SPAM"]);
        let bytes =
            |length| prop::collection::vec(prop::sample::select(b"GET /:\r\n019".to_vec()), length);
        let body = prop_oneof![
            Just((String::new(), Vec::new())),
            bytes(0..60).prop_map(|body| (format!("Content-Length: {}\r\n", body.len()), body)),
            prop::collection::vec(bytes(1..40), 0..4).prop_map(|chunks| {
                let mut coded = Vec::new();
                for chunk in chunks {
                    crate::http::chunked::write_chunk(&mut coded, &chunk);
                }
                coded.extend_from_slice(b"0;x\r\nA: b\r\n\r\n");
                ("Transfer-Encoding: chunked\r\n".to_owned(), coded)
            }),
        ];
        let expects = prop_oneof![3 => Just(""), 1 => Just("Expect: 100-continue\r\n")];
        let empty = prop_oneof![3 => Just(""), 1 => Just("\r\n"), 1 => Just("\n")];
        (
            empty,
            command,
            prop::sample::select(PATHS.to_vec()),
            expects,
            body,
        )
            .prop_map(|(empty, command, path, expects, (framing, body))| {
                let head = format!(
                    "{empty}{command} {path} HTTP/1.1\r\nHost: h\r\n{expects}{framing}\r\n"
                );
                [head.into_bytes(), body].concat()
            })
    }

    /// What may stand at the end, and the status of its reply, if there is one.
    fn end() -> impl Strategy<Value = (&'static str, Option<u16>)> {
        prop::sample::select(vec![
            ("", None),
            ("\r\n", None),
            ("GET / HTTP/1.1\r\nHost", None),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhalf",
                None,
            ),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf",
                None,
            ),
            (
                "GET /last HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\n",
                Some(200),
            ),
            (
                "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /",
                Some(200),
            ),
            (
                "GET / HTTP/1.1\r\nHost: h\r\nConnection: x, close\r\n\r\nrest",
                Some(200),
            ),
            ("GET /\r\nGET /\r\n", Some(400)),
            ("GET / HTTP/1.1\r\n\r\nGET /", Some(400)),
            ("HEAD / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", Some(400)),
            ("\x16\x03\x01", Some(400)),
            ("\n\n\n\n\nHEAD / HTTP/1.1\r\nHost: h\r\n\r\n", Some(400)),
            ("GET / HTTP/2.0\r\nHost: h\r\n\r\n", Some(505)),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 501\r\n\r\n",
                Some(413),
            ),
            (
                "POST /skip HTTP/1.1\r\nHost: h\r\nContent-Length: 301\r\n\r\nGET /",
                Some(200),
            ),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx",
                Some(400),
            ),
            (
                "POST /skip HTTP/1.1\r\nHost: h\r\nContent-Length: 300\r\n\r\nhalf",
                Some(200),
            ),
            (
                "HEAD /skip HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
                Some(200),
            ),
            (
                "POST /skip HTTP/1.0\r\nContent-Length: 9\r\n\r\nhalf",
                Some(200),
            ),
            (
                "POST /skip HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
                Some(200),
            ),
            (
                "POST /skip HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx",
                Some(400),
            ),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                Some(400),
            ),
        ])
    }

    fn room() -> impl Strategy<Value = Room> {
        prop_oneof![
            1 => Just(Room::WouldBlock),
            4 => prop_oneof![1_usize..20, 1_usize..2000, Just(usize::MAX)].prop_map(Room::Take),
        ]
    }

    proptest! {
        #[test]
        fn every_request_is_answered_once_and_in_order(
            requests in prop::collection::vec(request(), 0..12),
            (end, last) in end(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
            room in prop::collection::vec(room(), 0..40),
            scratch in prop_oneof![1_usize..300, Just(64 * 1024)],
            turn_requests in 1_usize..5,
            turn_bytes in prop_oneof![1000_usize..50_000, Just(usize::MAX)],
            hasty: bool,
            waits in 0_usize..4,
        ) {
            let count = requests.len() + usize::from(last.is_some());
            let bytes = [requests.concat().as_slice(), end.as_bytes()].concat();
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.sort_unstable();
            let plan = Plan { cuts, room, scratch, turn_requests, turn_bytes, hasty, waits, http09: false };
            let statuses = check(plan, &bytes);
            prop_assert_eq!(statuses.len(), count);
            prop_assert!(last.is_none() || last == statuses.last().copied());
        }

        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..300)) {
            connection(&input);
        }
    }

    #[test]
    fn a_client_that_does_not_read_is_not_answered_beyond_a_batch() {
        let bytes = b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n".repeat(200);
        let plan = Plan {
            room: vec![Room::WouldBlock; 500],
            scratch: 64 * 1024,
            turn_requests: 64,
            turn_bytes: 1 << 20,
            ..Plan::default()
        };
        assert_eq!(check(plan, &bytes), [200; 200]);
    }

    #[test]
    fn holds_for_the_corpus() {
        replay("connection", connection);
    }
}
