//! Bugs that were found by reading or in use, each with its test.

use std::cell::RefCell;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use httpoll::{
    BaseHttpRequestHandler, Exchange, Fill, HandlerResult, HttpStatus, MemoryServer,
    ProtocolVersion, SimpleHttpRequestHandler, Source,
};

use crate::client::{Reply, TIMEOUT, get};
use crate::handlers::{answering, send_text};
use crate::running::{Running, config};

/// Reads no body, and defers every reply.
struct Deferring;

impl BaseHttpRequestHandler for Deferring {
    fn reads_body(&self, _command: &str, _path: &str) -> bool {
        false
    }

    fn handle_one_request(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        exchange
            .defer()
            .answer(|exchange| Ok(send_text(exchange, "later")?));
        Ok(())
    }
}

#[test]
fn an_unread_body_behind_a_deferred_reply_is_not_a_request() {
    let limits = config().with(|config| config.max_discard = 10);
    let inner = get("/inner");
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}",
        inner.len()
    );
    let response = MemoryServer::with_config(Deferring, limits).respond(request.as_bytes());
    let replies = Reply::all(&response, &["POST"]);
    assert!(replies[0].closes(), "{}", replies[0].head);
}

#[test]
fn a_deferred_reply_keeps_close_connection() {
    let mut server = MemoryServer::new(answering(|exchange| {
        exchange.set_close_connection(true);
        exchange
            .defer()
            .answer(|exchange| Ok(send_text(exchange, "bye")?));
        Ok(())
    }));
    let response = server.respond(get("/").repeat(2).as_bytes());
    assert!(Reply::all(&response, &["GET"])[0].closes());
}

/// A source that gives its bytes at once and nothing more.
struct Silent(Option<&'static [u8]>);

impl Source for Silent {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        out.extend_from_slice(self.0.take().unwrap_or_default());
        Ok(Fill::NotNow)
    }
}

/// A source that gives bytes for ever.
struct Ticking;

impl Source for Ticking {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        out.extend_from_slice(b"tick\n");
        Ok(Fill::NotNow)
    }
}

#[test]
fn an_endless_stream_does_not_delay_shutdown() {
    let patient = config().with(|config| config.drain_timeout = 10 * TIMEOUT);
    let server = Running::with(patient, || {
        answering(|exchange| {
            exchange.send_response(HttpStatus::OK);
            exchange.end_headers();
            exchange.stream(Box::new(Ticking));
            let waker = exchange.waker();
            std::thread::spawn(move || {
                for _ in 0..2000 {
                    std::thread::sleep(Duration::from_millis(10));
                    waker.wake_by_ref();
                }
            });
            Ok(())
        })
    });
    let mut client = server.client();
    client.send(get("/")).read_until("tick");
    server.handle.shutdown();
    server.join();
}

#[test]
fn an_abort_after_send_response_sends_nothing() {
    let server = Running::new(|| {
        answering(|exchange| {
            exchange.send_response(HttpStatus::OK);
            exchange.abort();
            Ok(())
        })
    });
    let mut client = server.client();
    client.send(get("/"));
    assert!(!matches!(client.receive(), Ok(1..)));
}

/// One handler that two servers of one thread share.
#[derive(Clone)]
struct Shared(Rc<RefCell<SimpleHttpRequestHandler>>);

impl BaseHttpRequestHandler for Shared {
    fn reads_body(&self, _command: &str, _path: &str) -> bool {
        true
    }

    fn handle_one_request(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.0.borrow_mut().handle_one_request(exchange)
    }
}

#[test]
fn a_handler_shared_by_two_servers_is_fresh_and_uses_each_version() {
    let directory = std::env::temp_dir().join(format!("httpoll-shared-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("file"), "old").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let shared = Shared(Rc::new(RefCell::new(
        SimpleHttpRequestHandler::new(&directory).unwrap(),
    )));
    let http10 = config().with(|config| config.protocol_version = ProtocolVersion::Http10);
    let mut first = MemoryServer::new(shared.clone());
    let mut second = MemoryServer::with_config(shared, http10);
    assert_eq!(
        Reply::all(&first.respond(get("/file").as_bytes()), &["GET"])[0].text(),
        "old"
    );
    fs::write(directory.join("file"), "new").unwrap();
    for _ in 0..3 {
        let reply = Reply::all(&second.respond(get("/file").as_bytes()), &["GET"]).remove(0);
        assert_eq!((reply.text(), reply.version.as_str()), ("new", "HTTP/1.0"));
    }
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_redirect_is_relative_to_the_requested_path() {
    let directory = std::env::temp_dir().join(format!("httpoll-redirect-{}", std::process::id()));
    fs::create_dir_all(directory.join("docs")).unwrap();
    let mut files = SimpleHttpRequestHandler::new(&directory).unwrap();
    files.set_translate_path(|target| Some(target.strip_prefix("/static/")?.into()));
    let response = MemoryServer::new(files).respond(get("/static/docs").as_bytes());
    let reply = Reply::all(&response, &["GET"]).remove(0);
    assert_eq!(
        (reply.status, reply.field("Location")),
        (301, Some("docs/"))
    );
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_large_upload_does_not_block_others() {
    let server = Running::new(|| answering(|exchange| send_text(exchange, "done")));
    let mut upload = std::net::TcpStream::connect(server.address).unwrap();
    let length = 400 << 20;
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    upload.write_all(head.as_bytes()).unwrap();
    let sender = std::thread::spawn(move || {
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..length / piece.len() {
            upload.write_all(&piece).unwrap();
        }
        let mut reply = [0; 12];
        upload.read_exact(&mut reply).unwrap();
        reply
    });
    let mut answered = 0;
    let mut client = server.client();
    while !sender.is_finished() {
        assert_eq!(client.get("/").text(), "done");
        answered += 1;
    }
    assert_eq!(&sender.join().unwrap(), b"HTTP/1.1 200");
    assert!(
        answered > 10,
        "others were answered {answered} times meanwhile"
    );
}

#[test]
fn the_head_of_a_waiting_stream_is_sent_at_once() {
    let server = Running::new(|| {
        answering(|exchange| {
            exchange.send_response(HttpStatus::OK);
            exchange.end_headers();
            exchange.stream(Box::new(Silent(None)));
            Ok(())
        })
    });
    let head = server.client().send(get("/")).read_until("\r\n\r\n");
    assert!(head.contains("Transfer-Encoding: chunked"));
}

#[test]
fn last_modified_is_not_in_the_future_after_the_clock_is_set_back() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.txt"), "a file").unwrap();
    let files = SimpleHttpRequestHandler::new(&directory).unwrap();
    let day = Duration::from_secs(24 * 3600);
    let now = SystemTime::now();
    let mut server = MemoryServer::new(files).at(now + day);
    for _ in 0..2 {
        server.respond(get("/a.txt").as_bytes());
    }
    let response = server.at(now - day).respond(get("/a.txt").as_bytes());
    let reply = Reply::all(&response, &["GET"]).remove(0);
    assert_eq!(reply.text(), "a file");
    assert_eq!(reply.field("Last-Modified"), reply.field("Date"));
}

/// The status of the only reply to `request`, which is the same whether it comes whole or byte by byte.
fn status(request: &[u8], method: &str) -> u16 {
    let limits = config().with(|config| {
        config.max_request_line = 100;
        config.max_body = 10;
    });
    let whole = MemoryServer::with_config(answering(|_| Ok(())), limits.clone()).respond(request);
    let server = Running::with(limits, || answering(|_| Ok(())));
    let mut client = server.client();
    for byte in request {
        // After a refusal the server may have closed already.
        if client.stream.write_all(&[*byte]).is_err() {
            break;
        }
    }
    let status = Reply::all(&whole, &[method])[0].status;
    assert_eq!(client.half_close().reply_to(method).status, status);
    status
}

#[test]
fn a_refusal_does_not_depend_on_how_its_request_is_split() {
    let long = format!(" GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(100));
    assert_eq!(status(long.as_bytes(), "GET"), 400);
    // The limit is exceeded before the malformed part.
    let chunked =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890wrong";
    assert_eq!(status(chunked.as_bytes(), "POST"), 413);
    // The server refuses this before it has read the method, so the reply has a body.
    let empty_lines = "\n\n\n\n\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(status(empty_lines.as_bytes(), "GET"), 400);
    let blank = " HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(status(blank.as_bytes(), "GET"), 400);
}

#[test]
fn changes_within_a_tick_of_the_clock_do_not_share_a_tag() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.txt");
    let time = SystemTime::now();
    let ask = |content: &str, later: u64, field: &str| {
        fs::write(&path, content).unwrap();
        fs::File::open(&path).unwrap().set_modified(time).unwrap();
        let files = SimpleHttpRequestHandler::new(&directory).unwrap();
        let mut server = MemoryServer::new(files).at(time + Duration::from_millis(later));
        let request = format!("GET /a.txt HTTP/1.1\r\nHost: a\r\n{field}\r\n");
        let response = server.respond(request.as_bytes());
        let reply = Reply::all(&response, &["GET"]).remove(0);
        (reply.status, reply.field("ETag").unwrap().to_owned())
    };
    let (_, old) = ask("old", 1, "");
    let known = format!("If-None-Match: {old}\r\n");
    // The new file has the size and the date of the old one. It is asked for a moment later, and long after.
    assert_eq!(ask("new", 2, &known).0, 200);
    assert_eq!(ask("new", 1000, &known).0, 200);
    assert_eq!(ask("new", 1000, "").1, ask("new", 2000, "").1);
}

#[test]
fn a_two_digit_year_is_at_most_fifty_years_ahead() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.txt");
    fs::write(&path, "a file").unwrap();
    // This is Tue, 31 Dec 2019 23:59:59 GMT.
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_836_799);
    fs::File::open(&path)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    let files = SimpleHttpRequestHandler::new(&directory).unwrap();
    // This is Sat, 21 Nov 2026 02:51:04 GMT.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_229_464);
    let mut server = MemoryServer::new(files).at(now);
    for (field, expected) in [
        ("If-Modified-Since: Saturday, 21-Nov-76 02:51:04 GMT", 304),
        ("If-Modified-Since: Sunday, 21-Nov-76 02:51:05 GMT", 200),
        ("If-Modified-Since: Friday, 06-Nov-76 08:49:37 GMT", 304),
        ("If-Modified-Since: Friday, 06-Nov-77 08:49:37 GMT", 200),
        ("If-Unmodified-Since: Saturday, 21-Nov-76 02:51:04 GMT", 200),
        ("If-Unmodified-Since: Sunday, 21-Nov-76 02:51:05 GMT", 412),
        ("If-Range: Tuesday, 31-Dec-19 23:59:59 GMT", 206),
        ("If-Range: Monday, 31-Dec-19 23:59:59 GMT", 206),
        ("If-Range: Tuesday, 31-Dec-79 23:59:59 GMT", 200),
        ("If-Modified-Since: Mon, 31 Dec 2019 23:59:59 GMT", 304),
        ("If-Modified-Since: Mon Dec 31 23:59:59 2019", 304),
    ] {
        let range = if field.starts_with("If-Range") {
            "Range: bytes=0-1\r\n"
        } else {
            ""
        };
        let request = format!("GET /a.txt HTTP/1.1\r\nHost: a\r\n{range}{field}\r\n\r\n");
        let reply = Reply::all(&server.respond(request.as_bytes()), &["GET"]).remove(0);
        assert_eq!(reply.status, expected, "{field}");
    }
}
