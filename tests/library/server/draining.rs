//! The stages of a shutdown: a delay with every reply the last one, then no new clients, then the end of the replies in flight.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use httpoll::{Exchange, HttpServer, ServerConfig, ThreadingHttpServer};

use super::{Hello, LARGE, SOON, bind};
use crate::client::{Client, TIMEOUT, get};
use crate::handlers::{answering, send_text};
use crate::running::{Running, config, eventually};

/// Longer than the server waits for a request that may be on its way.
const UNUSED: Duration = Duration::from_millis(400);
/// Short beside that wait.
const A_MOMENT: Duration = Duration::from_millis(50);

fn with_delay(delay: Duration) -> ServerConfig {
    config().with(|config| {
        config.drain_delay = delay;
        config.drain_timeout = TIMEOUT;
    })
}

fn draining_soon() -> ServerConfig {
    with_delay(Duration::ZERO)
}

#[test]
fn a_fresh_connection_is_answered_and_closed() {
    let server = Running::with(draining_soon(), || Hello);
    let mut fresh = server.client();
    // The second client shows that the server has accepted the first.
    server.client().get("/");
    thread::sleep(UNUSED);
    server.handle.shutdown();
    thread::sleep(A_MOMENT);
    let reply = fresh.get("/late");
    assert_eq!(reply.text(), "hello /late");
    assert!(reply.closes());
    assert!(fresh.rest().is_empty());
    server.join();
}

#[test]
fn a_connection_that_was_just_used_is_answered_and_one_that_was_not_is_closed() {
    let server = Running::with(draining_soon(), || Hello);
    let (mut unused, mut used) = (server.client(), server.client());
    unused.get("/");
    thread::sleep(UNUSED);
    used.get("/");
    server.handle.shutdown();
    assert!(unused.rest().is_empty());
    let reply = used.get("/again");
    assert_eq!(reply.text(), "hello /again");
    assert!(reply.closes());
    server.join();
}

#[test]
fn a_connection_without_a_request_does_not_hold_up_the_end() {
    let server = Running::with(draining_soon(), || Hello);
    let (mut fresh, mut used) = (server.client(), server.client());
    used.get("/");
    server.handle.shutdown();
    assert!(fresh.rest().is_empty());
    assert!(used.rest().is_empty());
    server.join();
}

#[test]
fn a_reply_that_ends_late_leaves_time_for_the_next_request() {
    let server = Running::with(draining_soon(), || Hello);
    let mut busy = server.client();
    busy.send(get("/large")).read_until("\r\n\r\n");
    server.handle.shutdown();
    thread::sleep(UNUSED);
    let mut left = LARGE;
    while left > 0 {
        left -= busy.read_at_most(left);
    }
    let reply = busy.get("/next");
    assert_eq!(reply.text(), "hello /next");
    assert!(reply.closes());
    server.join();
}

#[test]
fn every_client_in_the_queue_is_answered() {
    // More than the server accepts at a time, and more than it may have.
    let config = draining_soon().with(|config| config.max_connections = Some(100));
    let mut server = HttpServer::bind_with("127.0.0.1:0", Hello, config).unwrap();
    let address = server.info().addresses()[0];
    let connect = |_| {
        let mut client = Client::connect(address);
        client.send(get("/queued"));
        client
    };
    let mut clients: Vec<_> = (0..600).map(connect).collect();
    server.handle().shutdown();
    let thread = thread::spawn(move || server.serve_forever());
    for client in &mut clients {
        assert_eq!(client.reply().text(), "hello /queued");
        assert!(client.rest().is_empty());
    }
    thread.join().unwrap().unwrap();
}

/// With `defer_accept` the kernel holds a client back that has sent nothing, though for the client the connection is open.
#[test]
fn a_client_that_the_kernel_holds_back_is_answered() {
    for loops in [1, 3] {
        let config = draining_soon().with(|config| config.defer_accept = true);
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            let loops = NonZeroUsize::new(loops).unwrap();
            let server =
                ThreadingHttpServer::bind_with("127.0.0.1:0", Hello, config, loops).unwrap();
            tell.send((server.server_addresses()[0], server.handle()))
                .unwrap();
            server.serve_forever().unwrap();
        });
        let (address, handle) = told.recv_timeout(TIMEOUT).unwrap();
        let mut clients: Vec<_> = (0..8).map(|_| Client::connect(address)).collect();
        handle.shutdown();
        thread::sleep(A_MOMENT);
        for client in &mut clients {
            assert_eq!(client.get("/late").text(), "hello /late");
        }
        thread.join().unwrap();
    }
}

#[test]
fn a_server_without_connections_ends_at_once() {
    for defer_accept in [false, true] {
        let config = draining_soon().with(|config| config.defer_accept = defer_accept);
        let mut server = HttpServer::bind_with("127.0.0.1:0", Hello, config).unwrap();
        server.handle().shutdown();
        server.turn(SOON).unwrap();
        assert!(server.is_finished(), "one turn is enough");
    }
}

#[test]
fn clients_of_an_inherited_socket_are_left_to_its_successor() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let handed_on = listener.try_clone().unwrap();
    let mut first = HttpServer::from_listeners(vec![listener], Hello, draining_soon()).unwrap();
    first.turn(Some(Duration::ZERO)).unwrap();
    let mut early = Client::connect(address);
    early.send(get("/early"));
    first.handle().shutdown();
    while !first.is_finished() {
        first.turn(SOON).unwrap();
    }
    // New clients are not turned away either.
    let mut late = Client::connect(address);
    late.send(get("/late"));
    let accepted = first.info().counters().accepted;
    first.turn(SOON).unwrap();
    assert_eq!(first.info().counters().accepted, accepted);
    drop(first);
    let mut second = HttpServer::from_listeners(vec![handed_on], Hello, draining_soon()).unwrap();
    let handle = second.handle();
    let thread = thread::spawn(move || second.serve_forever());
    assert_eq!(early.reply().text(), "hello /early");
    assert_eq!(late.reply().text(), "hello /late");
    drop((early, late));
    handle.shutdown();
    thread.join().unwrap().unwrap();
}

#[test]
fn during_the_delay_clients_connect_and_every_reply_is_the_last() {
    let server = Running::with(with_delay(Duration::from_millis(800)), || {
        answering(|exchange: &mut Exchange<'_>| {
            let draining = exchange.server().is_draining();
            send_text(exchange, &draining.to_string())
        })
    });
    let (mut used, mut unused) = (server.client(), server.client());
    for client in [&mut used, &mut unused] {
        let reply = client.get("/");
        assert_eq!((reply.text(), reply.closes()), ("false", false));
    }
    assert!(!server.handle.is_draining());
    server.handle.shutdown();
    assert!(server.handle.is_draining());
    let mut new = server.client();
    eventually(|| {
        let reply = server.client().get("/");
        reply.text() == "true" && reply.closes()
    });
    for client in [&mut used, &mut new] {
        assert!(client.get("/").closes());
        assert!(client.rest().is_empty());
    }
    assert!(unused.has_nothing(), "it stays open until it is used");
    assert!(unused.rest().is_empty(), "or until the delay is over");
    eventually(|| refuses(server.address));
    server.join();
}

/// Whether no client can connect. The kernel may drop the first segment of a client.
fn refuses(address: SocketAddr) -> bool {
    TcpStream::connect_timeout(&address, Duration::from_millis(100)).is_err()
}

#[test]
fn drain_timeout_ends_a_delayed_drain_too() {
    let config = with_delay(A_MOMENT).with(|config| config.drain_timeout = A_MOMENT);
    let server = Running::with(config, || Hello);
    let mut stalled = server.client();
    stalled.send(get("/large")).read_until("\r\n\r\n");
    let mut half = server.client();
    half.stream.write_all(b"GET /half").unwrap();
    server.handle.shutdown();
    server.join();
}

#[test]
fn a_closed_address_can_be_bound_again_during_the_drain() {
    let (mut server, address) = bind(Hello);
    let mut client = Client::connect(address);
    client.send(get("/large"));
    server.turn(SOON).unwrap();
    server.handle().shutdown();
    eventually(|| {
        server.turn(Some(Duration::ZERO)).unwrap();
        HttpServer::bind(address, Hello).is_ok()
    });
}
