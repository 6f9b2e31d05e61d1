//! Bodies that the handler does not read: the server answers before they arrive, with each kind of reply.

use std::io;
use std::thread;
use std::time::Duration;

use httpoll::{
    BaseHttpRequestHandler, Exchange, Fill, HandlerResult, HttpStatus, MemoryServer, Source,
};

use crate::child::Child;
use crate::client::{Reply, get};
use crate::handlers::send_text;
use crate::running::{Running, config};

/// Asks for no body, as is the default; the path names the kind of the reply.
struct Answers;

impl BaseHttpRequestHandler for Answers {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        match exchange.path() {
            "/deferred" => {
                let deferred = exchange.defer();
                thread::spawn(move || {
                    thread::sleep(Duration::from_millis(50));
                    deferred.answer(|exchange| Ok(send_text(exchange, "deferred")?));
                });
                Ok(())
            }
            "/stream" => {
                exchange.send_response(HttpStatus::OK);
                exchange.end_headers();
                exchange.stream(Box::new(Pieces(3)));
                Ok(())
            }
            "/large" => Ok(send_text(exchange, &"large".repeat(4 << 20))?),
            "/fails" => Err("expected in this test".into()),
            path => Ok(send_text(exchange, path)?),
        }
    }

    fn do_post(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.do_get(exchange)
    }

    fn do_head(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.do_get(exchange)
    }

    fn handle_error(&mut self, _exchange: &mut Exchange<'_>, _failure: &str) {}
}

struct Pieces(usize);

impl Source for Pieces {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        let Some(left) = self.0.checked_sub(1) else {
            return Ok(Fill::Done);
        };
        self.0 = left;
        out.extend_from_slice(b"piece");
        Ok(Fill::More)
    }
}

/// The head of a request, its whole body, and how much of the body comes with the head.
fn requests(method: &str, path: &str) -> Vec<(String, String, usize)> {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n");
    let length = format!("{head}Content-Length: 10\r\n\r\n");
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n");
    let chunks = "4\r\nbody\r\n6;x=y\r\nbodies\r\n0\r\nA: b\r\n\r\n";
    vec![
        (length.clone(), "0123456789".to_owned(), 0),
        (length, "0123456789".to_owned(), 9),
        (chunked.clone(), chunks.to_owned(), 0),
        (chunked, chunks.to_owned(), 11),
    ]
}

#[test]
fn the_reply_comes_before_the_body_and_the_next_request_after_it() {
    let server = Running::new(|| Answers);
    for (path, body) in [
        ("/", "/"),
        ("/deferred", "deferred"),
        ("/stream", "piecepiecepiece"),
    ] {
        let mut client = server.client();
        for (head, whole, begun) in requests("POST", path) {
            let (front, rest) = whole.split_at(begun);
            client.send(head + front);
            assert_eq!(client.reply().text(), body, "{path}");
            client.send(rest.to_owned() + &get("/next"));
            assert_eq!(client.reply().text(), "/next");
        }
    }
    let mut client = server.client();
    let (head, body, _) = requests("POST", "/fails").remove(0);
    assert_eq!(client.send(head).reply().status, 500);
    client.send(body + &get("/next"));
    assert_eq!(client.reply().text(), "/next");
}

#[test]
fn a_reply_to_head_comes_before_the_body() {
    let server = Running::new(|| Answers);
    let mut client = server.client();
    let (head, body, _) = requests("HEAD", "/").remove(0);
    client.send(head);
    assert!(client.read_until("\r\n\r\n").starts_with("HTTP/1.1 200 OK"));
    client.send(body + &get("/next"));
    assert_eq!(client.reply().text(), "/next");
}

#[test]
fn requests_before_and_behind_an_unwanted_body_are_answered_in_order() {
    let server = Running::new(|| Answers);
    for (head, body, begun) in requests("POST", "/post") {
        let mut client = server.client();
        client.send(get("/before") + &head + &body[..begun]);
        assert_eq!(client.reply().text(), "/before");
        assert_eq!(client.reply().text(), "/post");
        client.send(body[begun..].to_owned() + &get("/behind") + &head);
        assert_eq!(client.reply().text(), "/behind");
        assert_eq!(client.reply().text(), "/post");
    }
}

/// The client sends a megabyte before it reads anything of a reply of 20 MiB.
#[test]
fn a_client_that_sends_everything_before_it_reads_gets_the_whole_reply() {
    let server = Running::new(|| Answers);
    let mut client = server.client();
    let body = "b".repeat(1 << 20);
    client.send(format!(
        "POST /large HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    client.send(body + &get("/next"));
    assert_eq!(client.reply().body.len(), 5 * (4 << 20));
    assert_eq!(client.reply().text(), "/next");
}

#[test]
fn a_shutdown_does_not_wait_for_an_unwanted_body() {
    let server = Running::with(config(), || Answers);
    let mut client = server.client();
    let (head, _, _) = requests("POST", "/").remove(0);
    assert_eq!(client.send(head).reply().text(), "/");
    server.handle.shutdown();
    server.join();
}

#[test]
fn a_body_that_was_not_asked_for_is_an_error_to_read_and_has_no_length() {
    let taken = |mut body: httpoll::RequestBody| io::read_to_string(&mut body);
    struct Reads<F>(F, Vec<String>);
    impl<F: FnMut(&mut Exchange<'_>) -> io::Result<String>> BaseHttpRequestHandler for Reads<F> {
        fn do_post(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
            let text = (self.0)(exchange)?;
            Ok(send_text(exchange, &text)?)
        }
        fn handle_error(&mut self, _exchange: &mut Exchange<'_>, failure: &str) {
            self.1.push(failure.to_owned());
        }
    }
    type Reading = Box<dyn FnMut(&mut Exchange<'_>) -> io::Result<String>>;
    let readings: [Reading; 2] = [
        Box::new(|exchange| io::read_to_string(exchange.rfile())),
        Box::new(move |exchange| {
            assert_eq!(exchange.body_length(), 0);
            taken(exchange.take_body())
        }),
    ];
    for reading in readings {
        let mut server = MemoryServer::new(Reads(reading, Vec::new()));
        for (head, body, _) in requests("POST", "/") {
            let bytes =
                server.respond((head + &body + &get("/").replace("GET", "POST")).as_bytes());
            let replies = Reply::all(&bytes, &["POST", "POST"]);
            assert_eq!(replies[0].status, 500);
            assert_eq!((replies[1].status, replies[1].text()), (200, ""), "no body");
        }
        let expected = "the request body was not read: reads_body returned false";
        assert_eq!(server.handler().1, [expected; 4]);
    }
}

#[test]
fn the_examples_store_no_unread_body() {
    for example in [
        "hello", "counter", "echo", "events", "offload", "threads", "upload",
    ] {
        let server = Child::example(example, &[]);
        let mut client = server.client();
        client.send("PATCH / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
        let reply = client.reply();
        assert_eq!(reply.status, 501, "{example}");
        let rest = server.descriptors();
        for _ in 0..12 {
            client.send(format!("{:x}\r\n{}\r\n", 65536, "x".repeat(65536)));
        }
        assert!(server.descriptors() <= rest, "{example}");
        client.send(b"0\r\n\r\nPATCH / HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(client.reply().status, 501, "{example}");
    }
}
