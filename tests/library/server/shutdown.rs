//! The end of a server: replies in flight are finished, idle connections are closed.

use std::net::TcpStream;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use httpoll::HttpServer;

use super::{Hello, LARGE, SOON, bind};
use crate::client::{Client, TIMEOUT, get};
use crate::handlers::{answering, send_text};
use crate::running::{Running, config, eventually};

#[test]
fn a_closed_server_keeps_its_connections() {
    let (mut server, address) = bind(Hello);
    let (go_on, told) = mpsc::channel();
    let (tell, closed) = mpsc::channel();
    let client = thread::spawn(move || {
        let mut client = Client::connect(address);
        client.get("/before");
        tell.send(()).unwrap();
        told.recv_timeout(TIMEOUT).unwrap();
        assert!(TcpStream::connect(address).is_err());
        client.get("/after").text().to_owned()
    });
    eventually(|| {
        server.turn(SOON).unwrap();
        closed.try_recv().is_ok()
    });
    server.server_close();
    go_on.send(()).unwrap();
    eventually(|| {
        server.turn(SOON).unwrap();
        client.is_finished()
    });
    assert_eq!(client.join().unwrap(), "hello /after");
    // The address can be bound again.
    HttpServer::bind(address, Hello).unwrap();
}

#[test]
fn a_shutdown_from_another_thread_drains() {
    let server = Running::with(
        config().with(|config| config.drain_timeout = TIMEOUT),
        || Hello,
    );
    let mut idle = server.client();
    idle.get("/");
    let mut busy = server.client();
    busy.send(get("/large"));
    let head = busy.read_until("\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 "));
    server.handle.shutdown();
    server.handle.shutdown();
    assert!(idle.rest().is_empty());
    eventually(|| TcpStream::connect(server.address).is_err());
    assert_eq!(busy.rest().len(), LARGE, "a reply in flight arrives whole");
    server.join();
}

#[test]
fn a_handler_may_end_its_server() {
    let (give, take) = mpsc::channel::<httpoll::ServerHandle>();
    let server = Running::new(move || {
        answering(move |exchange| {
            if exchange.path() == "/end" {
                take.recv().unwrap().shutdown();
            }
            send_text(exchange, "goodbye")
        })
    });
    give.send(server.handle.clone()).unwrap();
    assert_eq!(server.client().get("/").text(), "goodbye");
    assert_eq!(server.client().get("/end").text(), "goodbye");
    server.join();
}

#[test]
fn drain_timeout_cuts_a_long_drain() {
    let config = config().with(|config| config.drain_timeout = Duration::from_millis(50));
    let server = Running::with(config, || Hello);
    let mut stalled = server.client();
    stalled.send(get("/large")).read_until("\r\n\r\n");
    server.handle.shutdown();
    server.join();
    let mut read = 0;
    while let Ok(length @ 1..) = stalled.receive() {
        read += length;
    }
    assert!(read < LARGE);
}

#[test]
fn a_shutdown_before_the_start_is_not_forgotten() {
    let (mut server, _) = bind(Hello);
    server.handle().shutdown();
    server.serve_forever().unwrap();
    assert!(server.is_finished());
}

#[test]
fn a_request_that_arrived_before_the_shutdown_is_answered() {
    let (mut server, address) = bind(Hello);
    let mut client = Client::connect(address);
    server.turn(Some(TIMEOUT)).unwrap();
    client.send(get("/"));
    server.handle().shutdown();
    server.serve_forever().unwrap();
    assert_eq!(client.reply().text(), "hello /");
    assert!(client.rest().is_empty());
}
