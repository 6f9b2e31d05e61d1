//! The end of one loop, or of one listening socket, does not end the others.

use std::io;
use std::net::{Shutdown, TcpListener};
use std::num::NonZeroUsize;
use std::thread;
use std::time::{Duration, Instant};

use httpoll::{
    BaseHttpRequestHandler, Exchange, Fill, HandlerResult, HttpServer, HttpStatus, Source,
    ThreadingHttpServer,
};
use rustix::process::{Pid, Signal, kill_process};
use socket2::SockRef;

use crate::child::Child;
use crate::client::{Client, TIMEOUT, get};
use crate::handlers::{answering, send_text};
use crate::running::config;

/// Answers `/panic` with a source that panics when it is dropped, and all other paths with the name of the thread.
#[derive(Clone, Debug)]
pub(crate) struct PanickingSource;

impl BaseHttpRequestHandler for PanickingSource {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        if exchange.path() == "/panic" {
            exchange.send_response(HttpStatus::OK);
            exchange.end_headers();
            exchange.stream(Box::new(PanicsOnDrop(2)));
            return Ok(());
        }
        let thread = thread::current();
        Ok(send_text(exchange, thread.name().unwrap_or("unnamed"))?)
    }
}

struct PanicsOnDrop(u32);

impl Source for PanicsOnDrop {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        out.extend_from_slice(b"tick");
        self.0 -= 1;
        Ok(if self.0 == 0 { Fill::Done } else { Fill::More })
    }
}

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("expected in this test");
    }
}

#[test]
fn a_loop_that_panics_ends_alone_and_is_reported() {
    let loops = NonZeroUsize::new(3).unwrap();
    let server =
        ThreadingHttpServer::bind_with("127.0.0.1:0", PanickingSource, config(), loops).unwrap();
    let (address, handle) = (server.server_addresses()[0], server.handle());
    let serving = thread::spawn(move || server.serve_forever());
    for _ in 0..2 {
        let mut client = Client::connect(address);
        client.send(get("/panic"));
        // The connection ends with the loop.
        while client.receive().is_ok_and(|length| length > 0) {}
        // Connections in the accept queue of the dead loop are reset; later ones are served by the others.
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
    let mut server = Child::handler("panicking source");
    // The first loop runs in the test's own thread, which has a name.
    let mut client = server.client();
    while client.get("/").text() == "httpoll-1" {
        client = server.client();
    }
    client.send(get("/panic"));
    let said = server.errors_with("httpoll: loop 1 of 2 has ended: a loop panicked", 1);
    assert!(said.contains("expected in this test"), "{said}");
    for _ in 0..20 {
        assert_eq!(server.client().get("/").text(), "httpoll-1");
    }
    let pid = Pid::from_child(&server.process);
    kill_process(pid, Signal::TERM).unwrap();
    assert!(!server.process.wait().unwrap().success());
}

#[test]
fn a_dead_listening_socket_leaves_the_others_working() {
    let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
    let listeners = vec![listen(), listen()];
    let duplicates: Vec<_> = listeners
        .iter()
        .map(|listener| listener.try_clone().unwrap())
        .collect();
    let addresses: Vec<_> = listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap())
        .collect();
    // A server cannot move to another thread.
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
    SockRef::from(&duplicates[0])
        .shutdown(Shutdown::Both)
        .unwrap();
    // The connections stay, and the other socket accepts more.
    all_are_served();
    assert_eq!(Client::connect(addresses[1]).get("/").text(), "hello");
    assert!(!serving.is_finished());
    // Without a listening socket the server ends, because no client could reach it.
    SockRef::from(&duplicates[1])
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
    let duplicates = [0, 1].map(|index: usize| listeners[index].try_clone().unwrap());
    let handler = answering(|exchange| send_text(exchange, "hello"));
    let mut server = HttpServer::from_listeners(listeners, handler, config()).unwrap();
    let die = |index: usize| SockRef::from(&duplicates[index]).shutdown(Shutdown::Both);
    die(0).unwrap();
    assert!(server.turn(Some(TIMEOUT)).is_err());
    // The dead socket causes no more events.
    let (began, wait) = (Instant::now(), Duration::from_millis(50));
    assert!(server.turn(Some(wait)).is_ok());
    assert!(began.elapsed() >= wait && !server.is_finished());
    die(1).unwrap();
    assert!(server.turn(Some(TIMEOUT)).is_err());
    assert!(server.is_finished());
}
