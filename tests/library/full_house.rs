//! A server at the limit of its connections or of their memory: which connections it closes for a new one, and which it
//! does not.

use std::io::{self, Write as _};
use std::thread;
use std::time::Duration;

use httpoll::{BaseHttpRequestHandler, Deferred, Exchange, HandlerResult, HttpStatus};

use crate::client::{Client, get};
use crate::handlers::send_text;
use crate::running::{Running, config, eventually};

/// Reads only the bodies of PUT.
#[derive(Default)]
struct Answers {
    held: Vec<Deferred>,
}

impl BaseHttpRequestHandler for Answers {
    fn reads_body(&self, command: &str, _path: &str) -> bool {
        command == "PUT"
    }

    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        match exchange.path() {
            "/large" => {
                exchange.send_response(HttpStatus::OK);
                exchange.end_headers();
                Ok(exchange.wfile().write_all(&vec![b'x'; 32 << 20])?)
            }
            "/held" => {
                self.held.push(exchange.defer());
                Ok(())
            }
            "/deferred" => {
                let deferred = exchange.defer();
                thread::spawn(move || {
                    thread::sleep(Duration::from_secs(1));
                    deferred.answer(|exchange| Ok(send_text(exchange, "deferred")?));
                });
                Ok(())
            }
            path => Ok(send_text(exchange, path)?),
        }
    }

    fn do_post(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        Ok(send_text(exchange, "posted")?)
    }

    fn do_put(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        Ok(send_text(exchange, "put")?)
    }
}

const IDLE: &str = "GET /idle HTTP/1.1\r\nHost: test\r\n\r\n";
const HALF_A_HEAD: &str = "GET /half HTTP/1.1\r\nHost: te";
const UNWANTED: &str = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n";
const WANTED: &str = "PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n";
const UNREAD: &str = "GET /large HTTP/1.1\r\nHost: test\r\n\r\n";
const DEFERRED: &str = "GET /deferred HTTP/1.1\r\nHost: test\r\n\r\n";

fn server_limited_to(connections: usize) -> Running {
    let config = config().with(|config| {
        config.max_connections = Some(connections);
        config.linger_timeout = Duration::from_secs(5);
    });
    Running::with(config, Answers::default)
}

/// Whether the server has closed or reset a connection whose replies have been read.
fn is_closed(client: &Client) -> bool {
    client.stream.set_nonblocking(true).unwrap();
    match client.stream.peek(&mut [0]) {
        _ if client.stream.take_error().unwrap().is_some() => true,
        Ok(length) => length == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

#[test]
fn connections_are_closed_in_the_order_of_their_kinds() {
    let kinds = [UNREAD, WANTED, UNWANTED, HALF_A_HEAD, IDLE];
    let server = server_limited_to(kinds.len());
    let mut clients = kinds.map(|kind| {
        let mut client = server.client();
        client.send(kind);
        if [UNWANTED, IDLE].contains(&kind) {
            client.reply();
        }
        client
    });
    // The server closes no connection that has just begun, whatever its kind.
    thread::sleep(Duration::from_millis(300));
    let mut newcomers = Vec::new();
    for leaving in (0..kinds.len()).rev() {
        // Its reply is deferred, so the server does not close it.
        let mut newcomer = server.client();
        newcomer.send(get("/held"));
        newcomers.push(newcomer);
        eventually(|| is_closed(&clients[leaving]));
        for (staying, kind) in clients.iter_mut().zip(kinds).take(leaving) {
            assert!(!is_closed(staying), "{kind:?} before {:?}", kinds[leaving]);
        }
    }
    assert!(newcomers.iter().all(|newcomer| !is_closed(newcomer)));
}

#[test]
fn a_connection_with_a_deferred_reply_is_never_closed() {
    let server = server_limited_to(2);
    let mut first = server.client();
    let mut second = server.client();
    first.send(DEFERRED);
    second.send(DEFERRED);
    let mut waiting = server.client();
    waiting.send(get("/late"));
    assert_eq!(first.reply().text(), "deferred");
    assert_eq!(second.reply().text(), "deferred");
    assert_eq!(waiting.reply().text(), "/late");
}

#[test]
fn all_clients_beyond_the_limit_are_answered() {
    let server = server_limited_to(4);
    let mut clients: Vec<_> = (0..100).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send(get("/crowd"));
    }
    for client in &mut clients {
        assert_eq!(client.reply().text(), "/crowd");
    }
}

#[test]
fn a_slow_reader_is_not_closed_for_a_new_client() {
    let server = server_limited_to(1);
    let mut reader = server.client();
    reader.send(UNREAD);
    let mut waiting = server.client();
    waiting.send(get("/late"));
    let body = reader.reply().body;
    assert_eq!(body.len(), 32 << 20);
    assert_eq!(waiting.reply().text(), "/late");
}

#[test]
fn max_request_memory_closes_the_oldest_unfinished_requests() {
    let config = config().with(|config| {
        config.max_head = 10_000;
        config.max_request_memory = 20_000;
    });
    let server = Running::with(config, Answers::default);
    let half = format!("GET / HTTP/1.1\r\nHost: test\r\nX: {}", "x".repeat(5000));
    for kind in [
        half.clone(),
        WANTED.replace("\r\n\r\n", &format!("\r\nX: {}\r\n\r\n", "x".repeat(5000))),
    ] {
        let mut clients: Vec<Client> = Vec::new();
        for _ in 0..8 {
            let mut client = server.client();
            client.send(&kind);
            clients.push(client);
            // This reply shows that the server has read the request before.
            assert_eq!(server.client().get("/").text(), "/");
        }
        // Three requests are below the limit, four are not.
        eventually(|| clients[..5].iter().all(is_closed));
        assert!(!clients[5..].iter().any(is_closed));
    }
}

#[test]
fn max_reply_memory_closes_the_oldest_unread_reply() {
    let config = config().with(|config| {
        config.max_head = 1000;
        config.max_reply_memory = 300_000;
    });
    let server = Running::with(config, Answers::default);
    // Each reply counts as 128 KiB, so two are below the limit.
    let mut first = server.client();
    first.send(UNREAD);
    let mut second = server.client();
    second.send(UNREAD);
    eventually(|| {
        assert_eq!(server.client().get("/").text(), "/");
        let mut third = server.client();
        third.send(UNREAD);
        third.reply().body.len() == 32 << 20 && is_closed(&first)
    });
    assert_eq!(second.reply().body.len(), 32 << 20);
}
