//! `defer_accept`: the kernel hands over a connection only when its first bytes have arrived (TCP_DEFER_ACCEPT).

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, HttpServer, HttpStatus, LogFormat,
    ServerConfig,
};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::SetStruct;
use nix::{libc, setsockopt_impl};

#[derive(Clone, Debug)]
struct DeferAccept;

setsockopt_impl!(
    DeferAccept,
    libc::IPPROTO_TCP,
    libc::TCP_DEFER_ACCEPT,
    u32,
    SetStruct<u32>
);

#[derive(Debug)]
struct PathHandler;

impl BaseHttpRequestHandler for PathHandler {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        exchange.send_response(HttpStatus::OK);
        exchange.end_headers();
        let path = exchange.path().to_owned();
        Ok(exchange.wfile().write_all(path.as_bytes())?)
    }
}

fn deferring() -> HttpServer<PathHandler> {
    let config = ServerConfig::default().with(|config| {
        config.defer_accept = true;
        config.log_format = LogFormat::None;
    });
    HttpServer::bind_with("127.0.0.1:0", PathHandler, config).unwrap()
}

fn address(server: &HttpServer<PathHandler>) -> SocketAddr {
    server.server_addresses()[0]
}

/// Takes turns until `count` requests have been answered.
fn turn_until(server: &mut HttpServer<PathHandler>, count: u64) {
    let end = Instant::now() + Duration::from_secs(10);
    while server.info().counters().requests < count {
        assert!(Instant::now() < end, "{:?}", server.info().counters());
        server.turn(Some(Duration::from_millis(10))).unwrap();
    }
}

#[test]
fn one_event_is_enough_for_a_whole_connection() {
    let mut server = deferring();
    let mut client = TcpStream::connect(address(&server)).unwrap();
    server.turn(Some(Duration::from_millis(50))).unwrap();
    assert_eq!(
        server.info().counters().accepted,
        0,
        "the client has sent nothing yet"
    );
    client
        .write_all(b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .unwrap();
    turn_until(&mut server, 1);
    let counters = server.info().counters();
    assert_eq!((counters.accepted, counters.events), (1, 1));
    let mut reply = String::new();
    client.read_to_string(&mut reply).unwrap();
    assert!(reply.ends_with("\r\n\r\n/a"), "{reply}");
}

#[test]
fn a_kept_connection_is_served() {
    let mut server = deferring();
    let mut client = TcpStream::connect(address(&server)).unwrap();
    let pieces = [
        "GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\nGET /c",
        " HTTP/1.1\r\nHost",
        ": h\r\nConnection: close\r\n\r\n",
    ];
    for (piece, answered) in pieces.into_iter().zip([2, 2, 3]) {
        client.write_all(piece.as_bytes()).unwrap();
        turn_until(&mut server, answered);
        server.turn(Some(Duration::from_millis(20))).unwrap();
        assert_eq!(server.info().counters().requests, answered);
    }
    let mut replies = String::new();
    client.read_to_string(&mut replies).unwrap();
    let bodies: Vec<_> = replies.match_indices("\r\n\r\n/").collect();
    assert_eq!(bodies.len(), 3, "{replies}");
}

/// A listener may come with the option already set; socket activation can do that.
#[test]
fn a_given_listener_keeps_its_own_setting() {
    for (seconds, events) in [(5, 1), (0, 2)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        setsockopt(&listener, DeferAccept, &seconds).unwrap();
        let config = ServerConfig::default();
        let mut server = HttpServer::from_listeners(vec![listener], PathHandler, config).unwrap();
        let mut client = TcpStream::connect(address(&server)).unwrap();
        client.write_all(b"GET /a HTTP/1.0\r\n\r\n").unwrap();
        turn_until(&mut server, 1);
        assert_eq!(server.info().counters().events, events, "{seconds} s");
    }
}
