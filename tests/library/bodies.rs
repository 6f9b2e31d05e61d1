//! Request bodies: what reaches `rfile`, what is refused before it is read, and where the next request begins.

use std::io::{self, Read as _, Write as _};
use std::time::Duration;

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, HttpStatus, MemoryServer, ServerConfig,
};

use crate::client::{Reply, get, post};
use crate::handlers::{answering, send_text};
use crate::running::{Running, config};

pub(crate) const KIB: usize = 1024;
pub(crate) const MIB: usize = 1024 * KIB;

/// Bytes that differ by their position, so that a body out of order shows.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| (index / 251 + index % 251) as u8)
        .collect()
}

pub(crate) fn chunked(body: &[u8], chunk: usize) -> Vec<u8> {
    let head = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut request = head.as_bytes().to_vec();
    for piece in body.chunks(chunk) {
        let size = piece.len();
        write!(request, "{size:X};name=\"va;lue\"\r\n").unwrap();
        request.extend_from_slice(piece);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"000;last\r\nX-Trailer: yes\r\nContent-Length: 7\r\n\r\n");
    request
}

pub(crate) fn echo(exchange: &mut Exchange<'_>) -> io::Result<()> {
    let mut body = Vec::new();
    exchange.rfile().read_to_end(&mut body)?;
    assert_eq!(exchange.body_length(), body.len() as u64);
    exchange.send_response(HttpStatus::OK);
    exchange.end_headers();
    exchange.wfile().write_all(&body)
}

#[test]
fn a_body_of_any_size_and_framing_arrives_whole_and_the_next_request_in_step() {
    for length in [0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 5 * MIB] {
        let body = pattern(length);
        for request in [
            post("/", &body),
            chunked(&body, 7919),
            chunked(&body, 64 * KIB),
        ] {
            let both = [request.as_slice(), get("/next").as_bytes()].concat();
            let bytes = MemoryServer::with_config(answering(echo), config()).respond(&both);
            let replies = Reply::all(&bytes, &["POST", "GET"]);
            assert!(replies[0].body == body, "{length}");
            assert_eq!(replies[1].body, b"");
        }
    }
}

#[test]
fn a_body_that_comes_in_pieces_over_a_socket_arrives_whole() {
    let server = Running::new(|| answering(echo));
    let body = pattern(300 * KIB);
    let mut client = server.client();
    for request in [post("/", &body), chunked(&body, 10_000), post("/", b"")] {
        for piece in request.chunks(33_333) {
            client.send(piece);
        }
        let reply = client.reply();
        assert!(reply.body == body || reply.body.is_empty());
    }
    let small = chunked(&pattern(50), 20);
    for byte in &small {
        client.send([*byte]);
    }
    assert_eq!(client.reply().body, pattern(50));
}

#[test]
fn the_rest_of_a_partly_read_body_is_not_a_request() {
    let smuggled = get("/smuggled");
    for (length, read) in [(0, 0), (1000, 0), (1000, 10), (100 * KIB, 70 * KIB)] {
        let body = smuggled.repeat(length / smuggled.len());
        let mut paths = Vec::new();
        let mut server = MemoryServer::new(answering(|exchange: &mut Exchange<'_>| {
            paths.push(exchange.path().to_owned());
            let mut some = vec![0; read.min(exchange.body_length() as usize)];
            exchange.rfile().read_exact(&mut some)?;
            send_text(exchange, "")
        }));
        let both = [post("/first", &body), get("/second").into_bytes()].concat();
        let bytes = server.respond(&both);
        Reply::all(&bytes, &["POST", "GET"]);
        drop(server);
        assert_eq!(paths, ["/first", "/second"]);
    }
}

#[test]
fn rfile_continues_where_it_was_left_and_then_ends() {
    let bytes = MemoryServer::new(answering(|exchange| {
        let (mut first, mut rest) = ([0; 3], String::new());
        exchange.rfile().read_exact(&mut first)?;
        exchange.rfile().read_to_string(&mut rest)?;
        assert_eq!(exchange.rfile().read(&mut first)?, 0);
        send_text(exchange, &rest)
    }))
    .respond(&post("/", "onetwo"));
    assert_eq!(Reply::all(&bytes, &["POST"])[0].text(), "two");
}

fn with_max_body(max_body: u64) -> ServerConfig {
    config().with(|config| config.max_body = max_body)
}

#[test]
fn a_body_is_at_most_one_mebibyte_by_default() {
    for (length, status) in [(MIB, 200), (MIB + 1, 413)] {
        for request in [post("/", pattern(length)), chunked(&pattern(length), 9999)] {
            let mut server = MemoryServer::new(answering(|exchange| send_text(exchange, "")));
            let bytes = server.respond(&request);
            assert_eq!(Reply::all(&bytes, &["POST"])[0].status, status, "{length}");
        }
    }
}

#[test]
fn a_body_too_large_is_refused_before_it_comes_where_its_length_is_announced() {
    let server = Running::with(with_max_body(10), || answering(echo));
    let head = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 11\r\n\r\n";
    let reply = server.client().send(head).reply();
    assert_eq!(reply.status, 413);
    assert!(reply.closes());
    let expecting = head.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(server.client().send(expecting).reply().status, 413);
    assert_eq!(
        server.client().send(post("/", "1234567890")).reply().text(),
        "1234567890"
    );
}

#[test]
fn chunks_beyond_the_limit_are_413() {
    let mut calls = 0;
    let mut server = MemoryServer::with_config(
        answering(|exchange: &mut Exchange<'_>| {
            calls += 1;
            echo(exchange)
        }),
        with_max_body(10),
    );
    let too_much = [chunked(&pattern(11), 5), get("/").into_bytes()].concat();
    let bytes = server.respond(&too_much);
    let reply = &Reply::all(&bytes, &["POST"])[0];
    assert_eq!(reply.status, 413);
    assert!(reply.closes());
    let bytes = server.respond(&chunked(&pattern(10), 5));
    assert_eq!(Reply::all(&bytes, &["POST"])[0].body, pattern(10));
    drop(server);
    assert_eq!(calls, 1);
}

#[test]
fn a_client_that_waits_for_it_is_told_to_continue() {
    let server = Running::new(|| answering(echo));
    let mut client = server.client();
    for value in ["100-continue", "100-Continue"] {
        client.send(format!(
            "{}POST / HTTP/1.1\r\nHost: test\r\nExpect: {value}\r\nContent-Length: 4\r\n\r\n",
            get("/before")
        ));
        assert_eq!(client.reply().body, b"");
        assert_eq!(
            client.read_until("\r\n\r\n"),
            "HTTP/1.1 100 Continue\r\n\r\n"
        );
        assert_eq!(client.send("body").reply().text(), "body");
    }
}

#[test]
fn a_client_that_does_not_wait_gets_no_100_continue() {
    let head = |length, version| {
        format!(
            "POST / HTTP/{version}\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let begun = format!("{}body", head(4, "1.1"));
    let old = format!("{}body", head(4, "1.0"));
    for request in [begun, old, head(0, "1.1")] {
        let bytes = MemoryServer::new(answering(echo)).respond(request.as_bytes());
        Reply::all(&bytes, &["POST"]);
    }
}

/// Decides by the path whether it accepts a body.
#[derive(Default)]
struct DecidesByPath {
    asked: usize,
    answered: usize,
}

impl BaseHttpRequestHandler for DecidesByPath {
    fn reads_body(&self, _command: &str, _path: &str) -> bool {
        true
    }

    fn do_post(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.answered += 1;
        Ok(echo(exchange)?)
    }

    fn handle_expect_100(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult<bool> {
        self.asked += 1;
        match exchange.path() {
            "/refused" => Ok(false),
            "/refused-in-words" => {
                exchange.send_error(HttpStatus::UNAUTHORIZED, None, None);
                exchange.send_header("WWW-Authenticate", "Basic realm=\"door\"");
                Ok(false)
            }
            "/fails" => Err("fails".into()),
            "/panics" => panic!("expected in this test"),
            "/undecided" => {
                exchange.send_error(HttpStatus::NOT_FOUND, None, None);
                Ok(true)
            }
            _ => Ok(true),
        }
    }

    fn handle_error(&mut self, _exchange: &mut Exchange<'_>, _failure: &str) {}
}

#[test]
fn a_handler_may_refuse_a_body_before_it_is_sent() {
    let server = Running::new(DecidesByPath::default);
    for (path, status) in [
        ("/refused", 417),
        ("/refused-in-words", 401),
        ("/fails", 500),
        ("/panics", 500),
    ] {
        let reply = server.client().send(expecting(path)).reply();
        assert_eq!(reply.status, status, "{path}");
        assert!(reply.closes(), "{path}: the client may still send the body");
        let challenge = (status == 401).then_some("Basic realm=\"door\"");
        assert_eq!(reply.field("www-authenticate"), challenge);
    }
    for path in ["/", "/undecided"] {
        let mut client = server.client();
        client.send(expecting(path));
        assert_eq!(
            client.read_until("\r\n\r\n"),
            "HTTP/1.1 100 Continue\r\n\r\n"
        );
        assert_eq!(client.send("body").reply().text(), "body");
    }
}

fn expecting(path: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    )
}

#[test]
fn a_refused_body_never_reaches_the_handler() {
    let mut server = MemoryServer::new(DecidesByPath::default());
    let bytes = server.respond(expecting("/refused").as_bytes());
    assert_eq!(Reply::all(&bytes, &["POST"])[0].status, 417);
    assert_eq!(server.handler().answered, 0);
    assert_eq!(server.handler().asked, 1);
    // The server does not ask about a body that has begun to arrive.
    let bytes = server.respond(format!("{}body", expecting("/refused")).as_bytes());
    assert_eq!(Reply::all(&bytes, &["POST"])[0].text(), "body");
    assert_eq!(server.handler().asked, 1);
}

/// Reads no bodies except at `/wanted`.
struct ReadsOnlyWanted;

impl BaseHttpRequestHandler for ReadsOnlyWanted {
    fn reads_body(&self, command: &str, path: &str) -> bool {
        (command, path) == ("POST", "/wanted")
    }

    fn do_post(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        match exchange.path() {
            "/wanted" => Ok(echo(exchange)?),
            _ => Ok(send_text(exchange, "")?),
        }
    }

    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        Ok(send_text(exchange, "next")?)
    }
}

#[test]
fn a_body_that_is_not_wanted_is_skipped() {
    for length in [1, 100 * KIB] {
        for unwanted in [post("/", pattern(length)), chunked(&pattern(length), 999)] {
            let all = [unwanted, post("/wanted", "this"), get("/").into_bytes()].concat();
            let bytes = MemoryServer::new(ReadsOnlyWanted).respond(&all);
            let replies = Reply::all(&bytes, &["POST", "POST", "GET"]);
            assert_eq!(replies[0].text(), "");
            assert_eq!(replies[1].text(), "this");
            assert_eq!(replies[2].text(), "next");
        }
    }
}

#[test]
fn a_body_too_large_to_skip_gets_a_reply_and_a_close() {
    let config = || config().with(|config| config.max_discard = 10);
    let server = Running::with(config(), || ReadsOnlyWanted);
    let head = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 11\r\n\r\n";
    let reply = server.client().send(head).reply();
    assert_eq!(reply.status, 200);
    assert!(reply.closes());
    let bytes =
        MemoryServer::with_config(ReadsOnlyWanted, config()).respond(&chunked(&pattern(11), 5));
    assert!(Reply::all(&bytes, &["POST"])[0].closes());
}

#[test]
fn an_incomplete_body_never_reaches_the_handler() {
    for request in [post("/", "whole body"), chunked(b"whole body", 4)] {
        let mut calls = 0;
        let mut server = MemoryServer::new(answering(|exchange: &mut Exchange<'_>| {
            calls += 1;
            send_text(exchange, "")
        }));
        for length in 1..request.len() {
            assert_eq!(server.respond(&request[..length]), b"");
        }
        Reply::all(&server.respond(&request), &["POST"]);
        drop(server);
        assert_eq!(calls, 1);
    }
}

#[test]
fn a_malformed_chunk_is_400_and_closes() {
    for bad in [
        "x\r\n",
        "4\r\nbodyX\r\n0\r\n\r\n",
        "-4\r\nbody\r\n0\r\n\r\n",
        "11112222333344445\r\n",
    ] {
        let head = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut server = MemoryServer::new(answering(|_| panic!("it must not be called")));
        let bytes = server.respond(format!("{head}{bad}").as_bytes());
        let reply = &Reply::all(&bytes, &["POST"])[0];
        assert_eq!(reply.status, 400, "{bad:?}");
        assert!(reply.closes());
    }
}

#[test]
fn a_body_that_stalls_is_408() {
    let config = config().with(|config| config.body_timeout = Duration::from_millis(50));
    let server = Running::with(config, || answering(echo));
    let request = post("/", "whole body");
    let reply = server.client().send(&request[..request.len() - 1]).reply();
    assert_eq!(reply.status, 408);
    assert!(reply.closes());
}

#[test]
fn take_body_hands_over_the_body() {
    let echo = |exchange: &mut Exchange<'_>| {
        let mut body = exchange.take_body();
        exchange.send_response(HttpStatus::OK);
        exchange.end_headers();
        io::copy(&mut body, &mut exchange.wfile()).map(drop)
    };
    for length in [0, 11, 200_000] {
        let body = vec![b'b'; length];
        let request = String::from_utf8(post("/", &body)).unwrap();
        assert_eq!(crate::handlers::reply(&request, echo).body, body);
    }
}

#[test]
fn a_taken_body_may_move_to_another_thread() {
    let mut server = MemoryServer::new(answering(|exchange| {
        let (body, deferred) = (exchange.take_body(), exchange.defer());
        std::thread::spawn(move || {
            let text = io::read_to_string(body).unwrap();
            deferred.answer(move |exchange| Ok(send_text(exchange, &text.to_uppercase())?));
        });
        Ok(())
    }));
    let reply = Reply::all(&server.respond(&post("/", "quiet")), &["POST"]).pop();
    assert_eq!(reply.unwrap().text(), "QUIET");
}
