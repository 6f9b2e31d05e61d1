//! SIGTERM while clients connect and requests are on their way. The program is confined, and the kernel holds clients back that
//! have sent nothing (TCP_DEFER_ACCEPT).

use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Server, Site, get, wait_until};

/// Longer than the server waits for a request that may be on its way.
const UNUSED: Duration = Duration::from_millis(400);

#[test]
fn a_client_that_has_just_connected_is_answered() {
    for loops in ["1", "3"] {
        for late in [0, 10, 150] {
            let mut server = Server::with(&Site::new(), &["-n", loops]);
            let mut clients: Vec<_> = (0..6).map(|_| server.connect()).collect();
            server.signal(Signal::TERM);
            sleep(Duration::from_millis(late));
            for client in &mut clients {
                let status = client.get("/hello.txt").status();
                assert_eq!(status, 200, "{loops} loops, {late} ms");
            }
            drop(clients);
            assert_eq!(server.wait().code(), Some(0));
        }
    }
}

#[test]
fn a_connection_that_was_just_used_is_answered_and_an_idle_one_is_closed() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(&Site::new());
        let (mut idle, mut used) = (server.connect(), server.connect());
        idle.get("/hello.txt");
        sleep(UNUSED);
        used.get("/hello.txt");
        server.signal(signal);
        idle.assert_closed();
        assert_eq!(used.get("/hello.txt").status(), 200);
        used.assert_closed();
        drop((idle, used));
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn during_the_delay_clients_connect_and_every_reply_is_the_last() {
    let mut server = Server::with(&Site::new(), &["--drain-delay", "0.8"]);
    let mut idle = server.connect();
    idle.get("/hello.txt");
    server.signal(Signal::TERM);
    wait_until("replies end their connections", || {
        server.connect().get("/hello.txt").field("connection") == Some("close")
    });
    idle.assert_open();
    let mut new = server.connect();
    assert_eq!(new.get("/hello.txt").status(), 200);
    new.assert_closed();
    idle.assert_closed();
    drop((idle, new));
    assert_eq!(server.wait().code(), Some(0));
    assert!(TcpStream::connect(server.address()).is_err());
}

#[test]
fn a_second_signal_ends_the_delay() {
    let mut server = Server::with(&Site::new(), &["--drain-delay", "600"]);
    server.signal(Signal::TERM);
    wait_until("replies end their connections", || {
        server.connect().get("/hello.txt").field("connection") == Some("close")
    });
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(128 + Signal::TERM.as_raw()));
}

#[test]
fn drain_timeout_cuts_a_reply() {
    let site = Site::new();
    site.sparse("big", 64 << 20);
    let mut server = Server::with(&site, &["--drain-timeout", "0.1"]);
    let mut client = server.connect();
    client.send(get("/big")).read_head();
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    assert!(client.count_to_end() < 64 << 20);
}

#[test]
fn keep_alive_closes_an_idle_connection() {
    let server = Server::with(&Site::new(), &["--keep-alive", "0.2"]);
    let mut client = server.connect();
    client.get("/hello.txt");
    client.assert_closed();
    assert_eq!(server.connect().get("/hello.txt").status(), 200);
}
