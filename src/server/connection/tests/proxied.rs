//! Connections of trusted proxies: the header of the PROXY protocol, the clients that fields name, and how they are counted.

use std::time::Duration;

use super::handler::{self, small, statuses};
use super::script::{Event, Room, STILL, TestLoop};
use crate::config::ServerConfig;
use crate::handler::exchange::Exchange;
use crate::handler::{BaseHttpRequestHandler, HandlerResult};
use crate::server::event_loop::timers::Timeout;
use crate::wire::next::Next;

const LINE: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 443\r\n";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// A version 2 header of the client 203.0.113.7:4711 with a TLV behind the addresses.
fn binary() -> Vec<u8> {
    let addresses = [203, 0, 113, 7, 198, 51, 100, 1, 0x12, 0x67, 1, 0xbb];
    let start = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x11";
    [start, addresses.as_slice(), &[4, 0, 2, b'\r', b'\n']].concat()
}

/// A configuration that trusts the peer of the script, 192.0.2.1.
fn trusting(proxy_protocol: bool) -> ServerConfig {
    ServerConfig::default().with(|config| {
        config.trusted_proxies = vec!["192.0.2.0/24".parse().unwrap()];
        config.proxy_protocol = proxy_protocol;
    })
}

/// Replies with the client and the peer.
#[derive(Debug)]
struct Addresses;

impl BaseHttpRequestHandler for Addresses {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let (client, peer) = (exchange.client_address(), exchange.peer_address());
        exchange.send_text(200, format!("{client} of {peer}"));
        Ok(())
    }

    fn do_post(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.do_get(exchange)
    }

    fn reads_body(&self, _command: &str, _path: &str) -> bool {
        true
    }
}

/// Returns the addresses in the replies to what a proxy sends.
fn addresses(config: ServerConfig, pieces: &[&[u8]]) -> Vec<String> {
    let mut stage = TestLoop::with_handler(Addresses, config);
    let output = String::from_utf8(stage.answer(pieces)).unwrap();
    let bodies = output.split("\r\n\r\n").skip(1);
    let bodies = bodies.map(|rest| rest.split("HTTP/1.1 ").next().unwrap());
    bodies.map(str::to_owned).collect()
}

fn get(target: &str) -> String {
    String::from_utf8(handler::get(target)).unwrap()
}

fn get_for(client: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: {client}\r\n\r\n")
}

#[test]
fn every_split_of_a_header_and_requests_gives_the_same_replies() {
    let requests = [get("/small"), get("/medium")].concat();
    let plain = TestLoop::new().answer(&[requests.as_bytes()]);
    for header in [LINE, &binary(), LOCAL, b"PROXY UNKNOWN\r\n"] {
        let bytes = [header, requests.as_bytes()].concat();
        for split in 0..bytes.len() {
            let mut stage = TestLoop::with_config(trusting(true));
            let pieces: Vec<_> = [&bytes[..split], &bytes[split..]].into();
            let pieces: Vec<_> = pieces
                .into_iter()
                .filter(|piece| !piece.is_empty())
                .collect();
            assert!(stage.answer(&pieces) == plain, "split at {split}");
            assert!(stage.connection.is_idle(), "split at {split}");
            // The connection goes on without another header.
            assert!(stage.answer(&[get("/small").as_bytes()]) == small());
        }
        let mut stage = TestLoop::with_config(trusting(true));
        let bytes: Vec<_> = bytes.chunks(1).collect();
        assert!(stage.answer(&bytes) == plain);
    }
}

#[test]
fn the_header_names_the_client() {
    for (header, client) in [
        (LINE, "203.0.113.7:4711"),
        (&binary(), "203.0.113.7:4711"),
        (LOCAL, "192.0.2.1:4711"),
        (b"PROXY UNKNOWN\r\n", "192.0.2.1:4711"),
    ] {
        let request = get("/");
        let shown = addresses(
            trusting(true),
            &[header, request.as_bytes(), request.as_bytes()],
        );
        assert_eq!(shown, vec![format!("{client} of 192.0.2.1:4711"); 2]);
    }
}

#[test]
fn what_a_client_behind_the_protocol_writes_is_not_looked_at() {
    let forged = get_for("198.51.100.66");
    assert_eq!(
        addresses(trusting(true), &[LINE, forged.as_bytes()]),
        ["203.0.113.7:4711 of 192.0.2.1:4711"]
    );
    // The proxy may not know the client, but it has not read the request either.
    for header in [LOCAL, b"PROXY UNKNOWN\r\n"] {
        assert_eq!(
            addresses(trusting(true), &[header, forged.as_bytes()]),
            ["192.0.2.1:4711 of 192.0.2.1:4711"]
        );
    }
    // The header names another trusted proxy, whose fields name the client.
    let chained = b"PROXY TCP4 192.0.2.9 198.51.100.1 4711 443\r\n";
    assert_eq!(
        addresses(trusting(true), &[chained, forged.as_bytes()]),
        ["198.51.100.66:0 of 192.0.2.1:4711"]
    );
}

#[test]
fn each_request_has_its_own_client() {
    let requests = [
        get_for("203.0.113.1"),
        get("/"),
        get_for("203.0.113.2, 192.0.2.8"),
    ]
    .concat();
    let expected = ["203.0.113.1:0", "192.0.2.1:4711", "203.0.113.2:0"];
    let expected = expected.map(|client| format!("{client} of 192.0.2.1:4711"));
    assert_eq!(addresses(trusting(false), &[requests.as_bytes()]), expected);
    let untrusting = ServerConfig::default();
    let shown = addresses(untrusting, &[requests.as_bytes()]);
    assert_eq!(shown, vec!["192.0.2.1:4711 of 192.0.2.1:4711"; 3]);
}

#[test]
fn a_request_whose_body_comes_later_keeps_its_client() {
    let head =
        "POST / HTTP/1.1\r\nHost: h\r\nForwarded: for=203.0.113.3\r\nContent-Length: 2\r\n\r\n";
    let shown = addresses(trusting(false), &[head.as_bytes(), b"a", b"b"]);
    assert_eq!(shown, ["203.0.113.3:0 of 192.0.2.1:4711"]);
}

#[test]
fn the_log_has_the_client_of_each_request() {
    let mut stage = TestLoop::with_config(trusting(false));
    // Both replies wait for the socket together.
    stage.script().most = 1;
    let requests = [
        get_for("203.0.113.1"),
        get_for("203.0.113.2"),
        get("/small"),
    ]
    .concat();
    stage.answer(&[requests.as_bytes()]);
    assert_eq!(
        stage.log_clients(),
        ["203.0.113.1", "203.0.113.2", "192.0.2.1"]
    );
}

#[test]
fn without_a_header_the_connection_of_a_trusted_proxy_closes() {
    for bytes in [
        get("/small"),
        "\r\nGET".into(),
        "PROXY TCP9 \r\n".into(),
        "\x16\x03\x01".into(),
    ] {
        let mut stage = TestLoop::with_config(trusting(true));
        assert_eq!(stage.receive(&bytes), Next::Close, "{bytes:?}");
        assert!(stage.output().is_empty());
    }
}

#[test]
fn a_header_from_another_peer_is_a_malformed_request() {
    let others =
        trusting(true).with(|config| config.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()]);
    for config in [ServerConfig::default(), trusting(false), others.clone()] {
        let mut stage = TestLoop::with_config(config);
        let request = get("/small");
        assert_eq!(statuses(&stage.answer(&[LINE, request.as_bytes()])), [400]);
    }
    // Without a header it is served.
    let mut stage = TestLoop::with_config(others);
    assert_eq!(stage.answer(&[get("/small").as_bytes()]), small());
}

#[test]
fn a_header_that_does_not_end_falls_under_the_head_timeout() {
    let mut stage = TestLoop::with_config(trusting(true));
    let head = Some(Timeout::Head);
    assert_eq!(stage.connection.awaits(), head);
    assert_eq!(stage.receive(&LINE[..20]), STILL);
    assert_eq!(
        (stage.state(), stage.connection.awaits()),
        ("ReadingProxyHeader", head)
    );
    assert!(stage.connection.kept().bytes > 0);
    assert!(
        stage
            .connection
            .is_dispensable(Duration::from_secs(1), stage.context.clock.instant)
    );
    assert_eq!(stage.expire(), Next::Close);
    assert!(stage.output().is_empty());
}

#[test]
fn a_proxy_that_leaves_before_its_header_ends_is_closed() {
    for bytes in [&b""[..], &LINE[..20], &LOCAL[..13]] {
        let mut stage = TestLoop::with_config(trusting(true));
        assert_eq!(stage.receive_last(bytes, Event::Eof), Next::Close);
        assert!(stage.output().is_empty());
    }
}

/// Counts two connections of `client`, one fewer than the limit of three.
fn nearly_full(proxy_protocol: bool, client: [u8; 4]) -> TestLoop<Addresses> {
    let config = trusting(proxy_protocol).with(|config| config.max_connections_per_ip = Some(3));
    let mut stage = TestLoop::with_handler(Addresses, config);
    (0..2).for_each(|_| stage.context.addresses.enter(client.into()));
    stage
}

#[test]
fn a_connection_counts_for_the_client_of_its_header_until_it_closes() {
    let client = [203, 0, 113, 7];
    let mut stage = nearly_full(true, client);
    assert_eq!(statuses(&stage.answer(&[LINE, get("/").as_bytes()])), [200]);
    assert!(!stage.context.addresses.has_room(client.into()));
    stage.connection.stop_counting(&mut stage.context.addresses);
    assert!(stage.context.addresses.has_room(client.into()));

    let mut stage = nearly_full(true, client);
    stage.context.addresses.enter(client.into());
    assert_eq!(
        stage.receive([LINE, get("/").as_bytes()].concat()),
        Next::Close
    );
    assert!(stage.output().is_empty());
    assert_eq!(stage.context.server.counters.refused, 1);
    stage.connection.stop_counting(&mut stage.context.addresses);
    stage.context.addresses.leave(client.into());
    assert!(stage.context.addresses.has_room(client.into()));
}

#[test]
fn a_connection_counts_for_the_client_of_a_request_until_its_reply_has_left() {
    let client = [203, 0, 113, 1];
    let request = get_for("203.0.113.1");
    let mut stage = nearly_full(false, client);
    stage.script().room = [Room::Take(10), Room::WouldBlock].into();
    stage.receive(&request);
    assert!(!stage.context.addresses.has_room(client.into()));
    stage.drain();
    stage.play();
    assert!(stage.connection.is_idle() && stage.context.addresses.has_room(client.into()));

    stage.context.addresses.enter(client.into());
    stage.output();
    let post = request
        .replace("GET", "POST")
        .replace("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\nabc");
    let other = get_for("203.0.113.2");
    let output = stage.answer(&[
        request.as_bytes(),
        post.as_bytes(),
        other.as_bytes(),
        get("/").as_bytes(),
    ]);
    assert_eq!(statuses(&output), [429, 429, 200, 200]);
    assert!(output.escape_ascii().to_string().contains("Retry-After: 5"));
    stage.context.addresses.leave(client.into());
    assert_eq!(statuses(&stage.answer(&[request.as_bytes()])), [200]);
}

#[test]
fn a_refused_client_that_waits_to_send_its_body_is_the_last_of_the_connection() {
    let client = [203, 0, 113, 1];
    let head = |fields: &str| {
        let length = "Content-Length: 3\r\n\r\n";
        format!("POST / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.1\r\n{fields}{length}")
    };
    for (fields, closes) in [("", false), ("Expect: 100-continue\r\n", true)] {
        let mut stage = nearly_full(false, client);
        stage.context.addresses.enter(client.into());
        let output = stage.answer(&[head(fields).as_bytes()]);
        assert_eq!(statuses(&output), [429], "{fields}");
        assert_eq!(stage.state() == "Lingering(None)", closes, "{fields}");
    }
}

#[test]
fn the_proxy_itself_is_not_counted_and_unknown_clients_share_its_address() {
    let mut stage = nearly_full(false, [192, 0, 2, 1]);
    stage.context.addresses.enter([192, 0, 2, 1].into());
    assert!(stage.connection.has_room(&stage.context.addresses));
    let unknown = get_for("unknown");
    let output = stage.answer(&[
        get("/").as_bytes(),
        get_for("192.0.2.2").as_bytes(),
        unknown.as_bytes(),
    ]);
    assert_eq!(statuses(&output), [200, 200, 429]);
}
