//! What ends a loop, or one of its listening sockets, does not end the others.

use std::io;
use std::net::{Shutdown, TcpListener};
use std::num::NonZeroUsize;
use std::thread;
use std::time::{Duration, Instant};

use httpoll::{
    BaseHttpRequestHandler, Exchange, Fill, HttpServer, HttpStatus, Source, ThreadingHttpServer,
};
use rustix::process::{Pid, Signal, kill_process};
use socket2::SockRef;

use crate::child::Child;
use crate::client::{Client, PATIENCE, get};
use crate::handlers::{answering, send_text};
use crate::running::config;

/// Answers `/bomb` with a stream that panics where nobody expects it, and all else with the name of the thread.
#[derive(Clone, Debug)]
pub(crate) struct Bombs;

impl BaseHttpRequestHandler for Bombs {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        if exchange.path() == "/bomb" {
            exchange.send_response(HttpStatus::OK);
            exchange.end_headers();
            exchange.stream(Box::new(Bomb(2)));
            return Ok(());
        }
        let thread = thread::current();
        send_text(exchange, thread.name().unwrap_or("unnamed"))
    }
}

struct Bomb(u32);

impl Source for Bomb {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        out.extend_from_slice(b"tick");
        self.0 -= 1;
        Ok(if self.0 == 0 { Fill::Done } else { Fill::More })
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("expected in this test");
    }
}

#[test]
fn a_loop_that_panics_ends_alone_and_is_reported() {
    let loops = NonZeroUsize::new(3).unwrap();
    let server = ThreadingHttpServer::bind_with("127.0.0.1:0", Bombs, config(), loops).unwrap();
    let (address, handle) = (server.server_addresses()[0], server.handle());
    let serving = thread::spawn(move || server.serve_forever());
    for _ in 0..2 {
        let mut client = Client::connect(address);
        client.send(get("/bomb"));
        // It ends with the loop.
        while client.receive().is_ok_and(|length| length > 0) {}
        // Whoever was in the queue of the loop that died is reset; all who come later are served.
        thread::sleep(Duration::from_millis(50));
        for _ in 0..20 {
            assert_eq!(Client::connect(address).get("/").status, 200);
        }
    }
    assert!(!serving.is_finished());
    handle.shutdown();
    let error = serving.join().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "a loop panicked");
}

#[test]
fn signals_work_after_the_first_loop_has_died() {
    let mut server = Child::handler("bombs");
    // The first loop runs in the thread that has a name.
    let mut client = server.client();
    while client.get("/").text() == "unnamed" {
        client = server.client();
    }
    client.send(get("/bomb"));
    let said = server.errors_with("httpoll: loop 1 of 2 has ended: a loop panicked", 1);
    assert!(said.contains("expected in this test"), "{said}");
    for _ in 0..20 {
        assert_eq!(server.client().get("/").text(), "unnamed");
    }
    let pid = Pid::from_child(&server.process);
    kill_process(pid, Signal::TERM).unwrap();
    assert!(!server.process.wait().unwrap().success());
}

#[test]
fn a_dead_listening_socket_leaves_the_others_working() {
    let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
    let listeners = vec![listen(), listen()];
    let other_hands: Vec<_> = listeners
        .iter()
        .map(|listener| listener.try_clone().unwrap())
        .collect();
    let addresses: Vec<_> = listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap())
        .collect();
    // A server stays in its thread.
    let serving = thread::spawn(move || {
        let handler = answering(|exchange| send_text(exchange, "hello"));
        HttpServer::from_listeners(listeners, handler, config())
            .unwrap()
            .serve_forever()
    });
    let mut clients: Vec<_> = addresses.iter().copied().map(Client::connect).collect();
    let mut all_are_served = || {
        clients.iter_mut().for_each(|client| {
            assert_eq!(client.get("/").text(), "hello");
        });
    };
    all_are_served();
    SockRef::from(&other_hands[0])
        .shutdown(Shutdown::Both)
        .unwrap();
    // Whoever is connected stays so, and the other socket takes in more.
    all_are_served();
    assert_eq!(Client::connect(addresses[1]).get("/").text(), "hello");
    assert!(!serving.is_finished());
    // Without any the server ends: nobody could reach it.
    SockRef::from(&other_hands[1])
        .shutdown(Shutdown::Both)
        .unwrap();
    for client in &mut clients {
        assert_eq!(client.rest(), b"");
    }
    let error = serving.join().unwrap().unwrap_err();
    assert!(error.to_string().contains("is lost"), "{error}");
}

#[test]
fn turn_reports_a_dead_listening_socket_once() {
    let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
    let listeners = vec![listen(), listen()];
    let other_hands = [0, 1].map(|index: usize| listeners[index].try_clone().unwrap());
    let handler = answering(|exchange| send_text(exchange, "hello"));
    let mut server = HttpServer::from_listeners(listeners, handler, config()).unwrap();
    let die = |index: usize| SockRef::from(&other_hands[index]).shutdown(Shutdown::Both);
    die(0).unwrap();
    assert!(server.turn(Some(PATIENCE)).is_err());
    // It is not looked at again and again.
    let (began, wait) = (Instant::now(), Duration::from_millis(50));
    assert!(server.turn(Some(wait)).is_ok());
    assert!(began.elapsed() >= wait && !server.is_finished());
    die(1).unwrap();
    assert!(server.turn(Some(PATIENCE)).is_err());
    assert!(server.is_finished());
}
