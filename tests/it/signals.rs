//! Ctrl-C and SIGTERM: replies in flight are finished, idle connections are closed.

use std::net::TcpStream;

use rustix::process::Signal;

use crate::support::{Server, Site, get, wait_until};

const BIG: u64 = 64 << 20;

/// Waits until the server accepts no more connections, which shows that it has seen the signal.
fn stops_listening(server: &Server) {
    wait_until("the server stops listening", || {
        TcpStream::connect(server.address()).is_err()
    });
}

#[test]
fn ctrl_c_prints_a_message_and_exits_0() {
    let mut server = Server::start(&Site::new());
    server.get("/hello.txt");
    server.signal(Signal::INT);
    assert_eq!(server.wait().code(), Some(0));
    let output = server.remaining_output();
    assert!(
        output.contains("Keyboard interrupt received, exiting."),
        "{output}"
    );
}

#[test]
fn sigterm_prints_nothing_and_exits_0() {
    let mut server = Server::start(&Site::new());
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    assert_eq!(server.remaining_output(), "");
}

#[test]
fn a_signal_right_after_the_banner_ends_the_server() {
    for _ in 0..30 {
        let mut server = Server::start(&Site::new());
        server.signal(Signal::TERM);
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn a_signal_ends_all_loops() {
    for signal in [Signal::INT, Signal::TERM] {
        let mut server = Server::with(&Site::new(), &["-n", "3"]);
        let mut clients = [server.connect(), server.connect(), server.connect()];
        for client in &mut clients {
            client.get("/hello.txt");
        }
        server.signal(signal);
        clients.iter_mut().for_each(|client| client.assert_closed());
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn a_reply_in_flight_is_finished() {
    let site = Site::new();
    site.sparse("big", BIG);
    let mut server = Server::start(&site);
    let mut client = server.connect();
    let head = client.send(get("/big")).read_head();
    server.signal(Signal::TERM);
    stops_listening(&server);
    assert_eq!(Some(client.count_to_end()), head.content_length());
    assert_eq!(server.wait().code(), Some(0));
    assert!(server.log().ends_with(&format!("\" 200 {BIG}\n")));
}

#[test]
fn a_second_signal_ends_at_once() {
    let (int, term) = (Signal::INT, Signal::TERM);
    for (first, second) in [(int, int), (term, term), (int, term), (term, int)] {
        let site = Site::new();
        site.sparse("big", BIG);
        let mut server = Server::start(&site);
        let mut client = server.connect();
        client.send(get("/big")).read_head();
        server.signal(first);
        stops_listening(&server);
        server.signal(second);
        server.wait();
        assert!(client.count_to_end() < BIG);
    }
}

#[test]
fn the_report_names_what_limited_the_server() {
    let mut server = Server::with(&Site::new(), &["--report", "-q", "-n", "2"]);
    let mut client = server.connect();
    client.get("/hello.txt");
    let limit = "the client or the network is the limit (idle ";
    wait_until(
        "both loops report, and one names the client as the limit",
        || {
            server.signal(Signal::USR1);
            let report = server.log();
            let of = |index: u32| format!("httpoll: loop {index} of 2\n");
            report.contains(&of(1)) && report.contains(&of(2)) && report.contains(limit)
        },
    );
    assert_eq!(
        client.get("/hello.txt").status(),
        200,
        "the server continues"
    );
    let before = server.log().matches("requests  ").count();
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    let report = server.log();
    assert!(
        report.matches("requests  ").count() >= before + 2,
        "{report}"
    );
    assert!(report.contains("\nno request was answered\n"), "{report}");
}
