//! Turns that the caller takes one by one: deadlines, and a server inside another loop.

use std::io;
use std::os::fd::AsRawFd as _;
use std::thread;
use std::time::{Duration, Instant};

use httpoll::{BaseHttpRequestHandler, HttpServer};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::{Hello, LARGE, SOON, bind};
use crate::client::{Client, TIMEOUT, get};
use crate::running::config;

#[test]
fn the_next_deadline_is_that_of_the_connection_that_waits() {
    let config = config().with(|config| config.keep_alive_timeout = Duration::from_millis(50));
    let mut server = HttpServer::bind_with("127.0.0.1:0", Hello, config).unwrap();
    assert_eq!(server.next_deadline(), None);
    let mut client = Client::connect(server.info().addresses()[0]);
    let before = Instant::now();
    server.turn(Some(TIMEOUT)).unwrap();
    let deadline = server.next_deadline().unwrap();
    assert!(deadline >= before + Duration::from_millis(50));
    // A turn without a timeout still ends at the deadline.
    while server.next_deadline().is_some() {
        server.turn(None).unwrap();
    }
    assert!(Instant::now() >= deadline);
    assert!(client.rest().is_empty(), "it was closed");
}

#[test]
fn deadlines_that_pass_together_are_spread_over_turns() {
    let config = config().with(|config| config.keep_alive_timeout = Duration::from_millis(200));
    let mut server = HttpServer::bind_with("127.0.0.1:0", Hello, config).unwrap();
    let address = server.info().addresses()[0];
    let mut clients: Vec<_> = (0..300).map(|_| Client::connect(address)).collect();
    while server.info().counters().accepted < 300 {
        server.turn(Some(Duration::ZERO)).unwrap();
    }
    thread::sleep(Duration::from_millis(250));
    server.turn(Some(Duration::ZERO)).unwrap();
    // Some deadlines are left, so requests can be read between two turns.
    assert!(server.next_deadline().unwrap() < Instant::now());
    while server.next_deadline().is_some() {
        server.turn(None).unwrap();
    }
    assert!(clients.iter_mut().all(|client| client.rest().is_empty()));
}

#[test]
fn a_head_that_is_complete_before_the_next_turn_is_in_time() {
    let config = config().with(|config| config.head_timeout = Duration::from_millis(100));
    let mut server = HttpServer::bind_with("127.0.0.1:0", Hello, config).unwrap();
    let mut client = Client::connect(server.info().addresses()[0]);
    client.send("GET /");
    // The deadline of the idle connection becomes that of the head.
    let soon = || Instant::now() + Duration::from_secs(1);
    while server
        .next_deadline()
        .is_none_or(|deadline| deadline > soon())
    {
        server.turn(Some(TIMEOUT)).unwrap();
    }
    let deadline = server.next_deadline().unwrap();
    while Instant::now() < deadline {
        server.turn(None).unwrap();
    }
    client.send(" HTTP/1.1\r\nHost: a\r\n\r\n");
    server.turn(Some(TIMEOUT)).unwrap();
    assert_eq!(client.reply().status, 200);
}

#[test]
fn turn_waits_no_longer_than_its_timeout() {
    let (mut server, _) = bind(Hello);
    server.turn(Some(Duration::ZERO)).unwrap();
    server.turn(SOON).unwrap();
    assert!(!server.is_finished());
}

/// Polls a server from another loop until `done`; it takes a turn only when the descriptor is readable or the deadline has passed.
fn poll_until(
    server: &mut HttpServer<impl BaseHttpRequestHandler>,
    mut done: impl FnMut() -> bool,
) {
    let (mut poll, mut events) = (Poll::new().unwrap(), Events::with_capacity(8));
    let mut descriptor = SourceFd(&server.as_raw_fd());
    poll.registry()
        .register(&mut descriptor, Token(0), Interest::READABLE)
        .unwrap();
    let deadline = Instant::now() + TIMEOUT;
    while !done() {
        assert!(
            Instant::now() < deadline,
            "the descriptor never became readable"
        );
        let due = server
            .next_deadline()
            .map(|due| due.saturating_duration_since(Instant::now()));
        let wait = due.map_or(Duration::from_millis(20), |due| {
            due.min(Duration::from_millis(20))
        });
        poll.poll(&mut events, Some(wait)).unwrap();
        let is_due = server
            .next_deadline()
            .is_some_and(|due| due <= Instant::now());
        if !events.is_empty() || is_due {
            server.turn(Some(Duration::ZERO)).unwrap();
        }
    }
}

#[test]
fn a_foreign_loop_learns_of_work_by_the_descriptor() {
    let (mut server, address) = bind(Hello);
    let client = thread::spawn(move || {
        let mut client = Client::connect(address);
        (0..20).map(|_| client.get("/").body.len()).sum::<usize>()
    });
    poll_until(&mut server, || client.is_finished());
    assert_eq!(client.join().unwrap(), 20 * "hello /".len());
}

#[test]
fn a_foreign_loop_sends_a_reply_of_many_turns() {
    let (mut server, address) = bind(Hello);
    let client = thread::spawn(move || Client::connect(address).get("/large").body.len());
    poll_until(&mut server, || client.is_finished());
    assert_eq!(client.join().unwrap(), LARGE);
}

#[test]
fn a_foreign_loop_serves_more_connections_than_one_turn_has_events() {
    let (mut server, address) = bind(Hello);
    let mut clients: Vec<_> = (0..1500).map(|_| Client::connect(address)).collect();
    let mut accepted = 0;
    while accepted < 20 {
        server.turn(Some(Duration::ZERO)).unwrap();
        accepted += 1;
    }
    // All requests arrive before the next turn.
    for client in &mut clients {
        client.send(get("/"));
        client.stream.set_nonblocking(true).unwrap();
    }
    let mut waiting = clients;
    poll_until(&mut server, || {
        waiting.retain(|client| matches!(client.stream.peek(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock));
        waiting.is_empty()
    });
}

#[test]
fn idle_time_is_zero_without_connections() {
    let (mut server, address) = bind(Hello);
    server.turn(SOON).unwrap();
    assert_eq!(server.info().counters().idle, Duration::ZERO);
    let _client = Client::connect(address);
    for _ in 0..100 {
        server.turn(SOON).unwrap();
        if !server.info().counters().idle.is_zero() {
            return;
        }
    }
    panic!("{:?}", server.info().counters());
}
