//! Handshakes in pieces, and handshakes that end too early: the server goes on.

use std::net::{Shutdown, TcpStream};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};

use crate::support::{Client, Handshake, HttpsServer, Site, wait_until};

fn server() -> HttpsServer {
    HttpsServer::start(&Site::new())
}

/// The configuration of a client for each version.
fn configs(server: &HttpsServer) -> [ClientConfig; 2] {
    [&TLS12, &TLS13].map(|version| server.authority.client_config(&[version]))
}

/// Carries a handshake out whose flights are sent in `pieces`, and asserts that a request is answered.
fn assert_completes(
    server: &HttpsServer,
    config: &ClientConfig,
    mut send: impl FnMut(&mut Handshake, Vec<u8>),
) {
    let mut handshake = Handshake::with(server, config.clone());
    let hello = handshake.flight();
    send(&mut handshake, hello);
    let second = handshake.receive().flight();
    send(&mut handshake, second);
    let mut client = handshake.complete().expect("no handshake");
    assert_eq!(client.get("/hello.txt").body, b"Hello, world!\n");
}

#[test]
fn a_handshake_may_come_byte_by_byte() {
    let server = server();
    let mut bystander = server.connect();
    for config in configs(&server) {
        assert_completes(&server, &config, |handshake, flight| {
            for byte in flight {
                handshake.send(&[byte]);
                // The server has one loop, so it has read the byte before it answers this.
                bystander.assert_open();
            }
        });
    }
}

#[test]
fn a_handshake_may_be_split_anywhere() {
    let server = server();
    let mut bystander = server.connect();
    for config in configs(&server) {
        let longest = Handshake::with(&server, config.clone()).flight().len();
        for split in 1..longest {
            assert_completes(&server, &config, |handshake, flight| {
                let (front, rest) = flight.split_at(split.min(flight.len()));
                handshake.send(front);
                bystander.assert_open();
                handshake.send(rest);
            });
        }
    }
}

#[test]
fn the_end_of_a_handshake_and_a_request_may_come_at_once() {
    let server = server();
    for config in configs(&server) {
        let mut handshake = Handshake::with(&server, config);
        let hello = handshake.flight();
        handshake.send(&hello).receive();
        let request = crate::support::get("/hello.txt");
        // The client keeps the request until the handshake is done, and sends it with its last flight where the version allows it.
        let mut client = handshake.complete_with(request.as_bytes());
        assert_eq!(client.read_reply().body, b"Hello, world!\n");
    }
}

/// Ends the connection of an unfinished handshake by FIN, or by a reset.
fn leave(stream: &TcpStream, by_reset: bool) {
    if by_reset {
        rustix::net::sockopt::set_socket_linger(stream, Some(std::time::Duration::ZERO)).unwrap();
    } else {
        stream.shutdown(Shutdown::Write).unwrap();
    }
}

#[test]
fn clients_that_leave_within_the_first_flight_leave_others_alone() {
    let server = server();
    server.assert_serving();
    let before = server.descriptors();
    for config in configs(&server) {
        let length = Handshake::with(&server, config.clone()).flight().len();
        for end in 0..=length {
            let mut handshake = Handshake::with(&server, config.clone());
            let hello = handshake.flight();
            handshake.send(&hello[..end]);
            leave(handshake.tcp(), end % 2 == 0);
        }
    }
    assert_goes_on(&server, before);
}

#[test]
fn clients_that_leave_within_the_second_flight_leave_others_alone() {
    let server = server();
    server.assert_serving();
    let before = server.descriptors();
    for config in configs(&server) {
        let mut end = 0;
        loop {
            let mut handshake = Handshake::with(&server, config.clone());
            let hello = handshake.flight();
            let flight = handshake.send(&hello).receive().flight();
            handshake.send(&flight[..end]);
            leave(handshake.tcp(), end % 2 == 0);
            end += 1;
            if end > flight.len() {
                break;
            }
        }
    }
    assert_goes_on(&server, before);
}

#[track_caller]
fn assert_goes_on(server: &HttpsServer, descriptors: usize) {
    server.assert_serving();
    wait_until("all descriptors are closed", || {
        server.descriptors() <= descriptors
    });
    assert!(!server.log().contains("panic"), "{}", server.log());
}

#[test]
fn a_changed_byte_in_the_first_flight_fails_the_handshake() {
    let server = server();
    for config in configs(&server) {
        let length = Handshake::with(&server, config.clone()).flight().len();
        for changed in 0..length {
            let mut handshake = Handshake::with(&server, config.clone());
            let mut hello = handshake.flight();
            hello[changed] ^= 0x41;
            handshake.send(&hello);
            leave(handshake.tcp(), false);
            // The client accepts no handshake that differs from what it has sent.
            assert!(handshake.complete().is_err(), "byte {changed}");
        }
    }
    server.assert_serving();
}

/// Allows as many descriptors as possible, to this process and the servers that it starts from now on; returns how many.
fn raise_descriptor_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum;
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
    current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap())
}

#[test]
fn ten_thousand_unfinished_handshakes_do_not_keep_others_waiting() {
    let count = if raise_descriptor_limit() > 15_000 {
        10_000
    } else {
        2_000
    };
    let site = Site::new();
    let server = HttpsServer::with(&site, &["-q"]);
    let mut bystander = server.connect();
    let before = server.descriptors();
    let hello = Handshake::with(&server, server.client_config()).flight();
    // Nothing, a part and the whole of the first flight: what the server has to keep differs.
    let ends = [0, 1, 5, 100, hello.len()];
    let mut unfinished = Vec::new();
    for number in 0..count {
        let mut client: Client = server.connect_plain();
        client.send(&hello[..ends[number % ends.len()]]);
        unfinished.push(client);
        if number % 1000 == 0 {
            server.assert_serving();
            bystander.assert_open();
        }
    }
    server.assert_serving();
    bystander.assert_open();
    wait_until("the server gives the handshakes up", || {
        bystander.assert_open();
        server.descriptors() <= before + 1
    });
    server.assert_serving();
}
