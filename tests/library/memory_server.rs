//! `MemoryServer`: handlers without sockets, as users test their own.

use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, MemoryServer, ProtocolVersion, ServerConfig,
};

use crate::client::{Reply, get, post};
use crate::handlers::{answering, send_text};

#[test]
fn time_is_what_the_test_says() {
    let time = UNIX_EPOCH + Duration::from_secs(784_111_777);
    let mut server = MemoryServer::new(answering(|exchange| {
        let both = format!(
            "{}|{}",
            exchange.date_time_string(),
            exchange.log_date_time_string()
        );
        send_text(exchange, &both)
    }))
    .at(time);
    for _ in 0..2 {
        let bytes = server.respond(get("/").as_bytes());
        let reply = &Reply::all(&bytes, &["GET"])[0];
        assert_eq!(reply.field("date"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(
            reply.text(),
            "Sun, 06 Nov 1994 08:49:37 GMT|06/Nov/1994:08:49:37 +0000"
        );
    }
}

#[test]
fn the_same_request_at_the_same_time_gives_the_same_bytes() {
    let respond = || {
        MemoryServer::new(answering(|exchange| send_text(exchange, "hello")))
            .at(UNIX_EPOCH)
            .respond(get("/").as_bytes())
    };
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "HTTP/1.1 200 OK\r\nServer: httpoll/{version}\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
         Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
    );
    assert_eq!(respond(), expected.as_bytes());
    assert_eq!(respond(), respond());
}

#[test]
fn one_call_may_hold_many_requests() {
    let mut server = MemoryServer::new(answering(|exchange| {
        let path = exchange.path().to_owned();
        send_text(exchange, &path)
    }));
    let many: Vec<u8> = (0..500)
        .flat_map(|number| [get(&format!("/{number}")).into_bytes(), post("/post", "x")].concat())
        .collect();
    let replies = Reply::all(&server.respond(&many), &["GET", "POST"].repeat(500));
    for (number, pair) in replies.chunks(2).enumerate() {
        assert_eq!(pair[0].text(), format!("/{number}"));
        assert_eq!(pair[1].text(), "/post");
    }
}

#[test]
fn an_incomplete_request_is_dropped_silently() {
    let mut server = MemoryServer::new(answering(|exchange| send_text(exchange, "whole")));
    for half in [
        "",
        "G",
        "GET / HTTP/1.1\r\nHost",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf",
    ] {
        let bytes = server.respond(format!("{}{half}", get("/")).as_bytes());
        assert_eq!(Reply::all(&bytes, &["GET"])[0].text(), "whole");
        assert_eq!(server.respond(half.as_bytes()), b"", "{half:?}");
    }
}

#[test]
fn each_call_is_one_connection_of_the_same_handler() {
    #[derive(Default)]
    struct Hooks {
        calls: Vec<&'static str>,
    }
    impl BaseHttpRequestHandler for Hooks {
        fn setup(&mut self, _client_address: SocketAddr) {
            self.calls.push("setup");
        }
        fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
            self.calls.push("do_get");
            Ok(send_text(exchange, "")?)
        }
        fn finish(&mut self, _client_address: SocketAddr) {
            self.calls.push("finish");
        }
    }
    let mut server = MemoryServer::new(Hooks::default());
    server.respond(get("/").repeat(2).as_bytes());
    server.respond(b"");
    let expected = ["setup", "do_get", "do_get", "finish", "setup", "finish"];
    assert_eq!(server.handler().calls, expected);
}

#[test]
fn with_config_takes_a_configuration() {
    let config = ServerConfig::default().with(|config| {
        config.protocol_version = ProtocolVersion::Http10;
        config.max_request_line = 20;
    });
    let mut server =
        MemoryServer::with_config(answering(|exchange| send_text(exchange, "")), config);
    let bytes = server.respond(get("/").as_bytes());
    assert!(bytes.starts_with(b"HTTP/1.0 200 OK\r\n"));
    let bytes = server.respond(get("/longer/than/that").as_bytes());
    assert_eq!(Reply::all(&bytes, &["GET"])[0].status, 414);
}
