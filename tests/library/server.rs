//! The server around the handler: the addresses it listens on, the hooks it calls, its counters, and several loops.

mod draining;
mod shutdown;
mod turns;

use std::collections::HashSet;
use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, HttpServer, HttpStatus, LogEntry, LogFormat,
    ThreadingHttpServer,
};

use crate::client::{Client, Reply, TIMEOUT, get};
use crate::handlers::{answering, send_text};
use crate::running::{Running, config, eventually};

const SOON: Option<Duration> = Some(Duration::from_millis(20));
const LARGE: usize = 20 * 1024 * 1024;

#[derive(Clone, Debug)]
struct Hello;

impl BaseHttpRequestHandler for Hello {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        match exchange.path() {
            "/large" => {
                let file = tempfile::tempfile()?;
                file.set_len(LARGE as u64)?;
                exchange.send_response(HttpStatus::OK);
                exchange.end_headers();
                exchange.copyfile(file, 0..LARGE as u64);
                Ok(())
            }
            path => {
                let text = format!("hello {path}");
                Ok(send_text(exchange, &text)?)
            }
        }
    }
}

fn bind<H: BaseHttpRequestHandler>(handler: H) -> (HttpServer<H>, SocketAddr) {
    let server = HttpServer::bind_with("127.0.0.1:0", handler, config()).unwrap();
    let address = server.info().addresses()[0];
    (server, address)
}

#[test]
fn port_0_takes_a_free_port_and_says_which() {
    let (server, address) = bind(Hello);
    assert_ne!(address.port(), 0);
    assert_eq!(server.info().server_port(), address.port());
    assert_eq!(server.info().server_name(), "127.0.0.1");
    TcpStream::connect(address).unwrap();
}

#[test]
fn a_taken_port_is_an_error_that_names_it() {
    let (_server, address) = bind(Hello);
    let error = HttpServer::bind(address, Hello).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(HttpServer::bind(&[] as &[SocketAddr], Hello).is_err());
}

#[test]
fn one_server_listens_on_several_addresses_with_one_port() {
    let addresses: [SocketAddr; 2] = [([127, 0, 0, 1], 0).into(), ([127, 0, 0, 2], 0).into()];
    let mut server = HttpServer::bind_with(addresses.as_slice(), Hello, config()).unwrap();
    let bound = server.info().addresses().to_vec();
    assert_eq!(bound.len(), 2);
    assert_eq!(bound[0].port(), bound[1].port());
    for address in bound {
        assert_eq!(reply_to_get(&mut server, address).text(), "hello /");
    }
}

#[test]
fn sockets_that_listen_already_are_taken_over() {
    let listeners: Vec<_> = (0..3)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let addresses: Vec<_> = listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap())
        .collect();
    // This client connects before the server exists.
    let mut early = Client::connect(addresses[2]);
    early.send(get("/early"));
    let mut server = HttpServer::from_listeners(listeners, Hello, config()).unwrap();
    assert_eq!(server.info().addresses(), addresses);
    for address in addresses {
        assert_eq!(reply_to_get(&mut server, address).text(), "hello /");
    }
    assert_eq!(early.reply().text(), "hello /early");
}

/// The reply to a GET of a new client, while this thread takes the turns of the server.
fn reply_to_get<H: BaseHttpRequestHandler>(
    server: &mut HttpServer<H>,
    address: SocketAddr,
) -> Reply {
    let client = thread::spawn(move || Client::connect(address).get("/"));
    eventually(|| {
        server.turn(SOON).unwrap();
        client.is_finished()
    });
    client.join().unwrap()
}

#[test]
fn an_ipv4_client_of_a_socket_for_both_families_is_shown_as_ipv4() {
    let handler = || {
        answering(|exchange| {
            let address = exchange.address_string();
            send_text(exchange, &address)
        })
    };
    // In a kernel without IPv6 this is a socket for IPv4 alone, with the same result.
    let mut server = HttpServer::bind_with("[::]:0", handler(), config()).unwrap();
    let address = ([127, 0, 0, 1], server.info().server_port()).into();
    assert_eq!(reply_to_get(&mut server, address).text(), "127.0.0.1");
}

#[test]
fn the_handler_may_be_seen_and_changed_between_two_turns() {
    struct Says(String);
    impl BaseHttpRequestHandler for Says {
        fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
            let reply = send_text(exchange, &self.0);
            self.0 = "seen".to_owned();
            Ok(reply?)
        }
    }
    let (mut server, address) = bind(Says("one".to_owned()));
    assert_eq!(reply_to_get(&mut server, address).text(), "one");
    assert_eq!(server.handler().0, "seen");
    server.handler_mut().0 = "two".to_owned();
    assert_eq!(reply_to_get(&mut server, address).text(), "two");
}

#[derive(Debug, Default)]
struct Hooks {
    calls: Vec<String>,
    refuse: bool,
    turns: usize,
}

impl BaseHttpRequestHandler for Hooks {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.calls.push(format!("do_get {}", exchange.path()));
        Ok(send_text(exchange, "")?)
    }
    fn verify_request(&mut self, _client_address: SocketAddr) -> bool {
        self.calls.push("verify_request".to_owned());
        !self.refuse
    }
    fn setup(&mut self, client_address: SocketAddr) {
        assert!(client_address.ip().is_loopback());
        self.calls.push("setup".to_owned());
    }
    fn finish(&mut self, client_address: SocketAddr) {
        assert_ne!(client_address.port(), 0);
        self.calls.push("finish".to_owned());
    }
    fn service_actions(&mut self) {
        self.turns += 1;
    }
    fn handle_timeout(&mut self) {
        self.calls.push("handle_timeout".to_owned());
    }
}

#[test]
fn hooks_are_called_once_a_connection_and_in_order() {
    let (mut server, address) = bind(Hooks::default());
    let client = thread::spawn(move || {
        let mut client = Client::connect(address);
        client.get("/1");
        client.get("/2");
    });
    eventually(|| {
        server.turn(SOON).unwrap();
        server
            .handler()
            .calls
            .last()
            .is_some_and(|call| call == "finish")
    });
    client.join().unwrap();
    let expected = [
        "verify_request",
        "setup",
        "do_get /1",
        "do_get /2",
        "finish",
    ];
    assert_eq!(server.handler().calls, expected);
}

#[test]
fn a_connection_that_is_not_verified_is_closed_without_a_word() {
    let (mut server, address) = bind(Hooks {
        refuse: true,
        ..Hooks::default()
    });
    let client = thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.read(&mut [0]).unwrap()
    });
    eventually(|| {
        server.turn(SOON).unwrap();
        client.is_finished()
    });
    assert_eq!(client.join().unwrap(), 0);
    assert_eq!(server.handler().calls, ["verify_request"]);
}

#[test]
fn service_actions_is_called_in_every_turn() {
    let (mut server, _) = bind(Hooks::default());
    for turns in 1..=3 {
        server.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(server.handler().turns, turns);
    }
}

#[test]
fn handle_request_answers_one() {
    let (mut server, address) = bind(Hooks::default());
    let mut client = Client::connect(address);
    client.send(get("/1"));
    assert!(server.handle_request(Some(TIMEOUT)).unwrap());
    assert_eq!(client.reply().status, 200);
    client.send(get("/2"));
    assert!(server.handle_request(None).unwrap());
    assert_eq!(client.reply().status, 200);
    assert!(
        !server
            .handler()
            .calls
            .contains(&"handle_timeout".to_owned())
    );
}

#[test]
fn handle_request_says_when_none_came_in_time() {
    let (mut server, address) = bind(Hooks::default());
    assert!(!server.handle_request(Some(Duration::ZERO)).unwrap());
    assert!(!server.handle_request(SOON).unwrap());
    assert_eq!(server.handler().calls, ["handle_timeout"; 2]);
    // A connection without a request does not count.
    let _silent = Client::connect(address);
    assert!(!server.handle_request(SOON).unwrap());
    assert_eq!(server.handler().calls.last().unwrap(), "handle_timeout");
}

#[test]
fn handle_request_ends_with_a_shutdown() {
    let (mut server, _) = bind(Hello);
    server.handle().shutdown();
    assert!(!server.handle_request(None).unwrap());
    assert!(server.is_finished());
}

#[test]
fn handle_request_returns_when_the_reply_has_been_sent() {
    let (mut server, address) = bind(Hello);
    let client = thread::spawn(move || {
        Client::connect(address)
            .send("GET /large HTTP/1.0\r\n\r\n")
            .reply()
            .body
            .len()
    });
    assert!(server.handle_request(Some(TIMEOUT)).unwrap());
    drop(server);
    assert_eq!(client.join().unwrap(), LARGE);
}

#[test]
fn a_handler_may_write_the_log_itself() {
    struct Logging(mpsc::Sender<String>);
    impl BaseHttpRequestHandler for Logging {
        fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
            Ok(send_text(exchange, "twelve bytes")?)
        }
        fn log_request(&mut self, entry: &LogEntry<'_>, _line: &mut Vec<u8>) {
            let mut usual = Vec::new();
            entry.write(&mut usual);
            assert!(usual.starts_with(b"127.0.0.1 - - ["));
            assert!(usual.ends_with(b" 12\n") || usual.ends_with(b" 0\n"));
            let request = String::from_utf8_lossy(entry.requestline());
            let (status, sent) = (entry.status().code(), entry.bytes_sent());
            self.0.send(format!("{request} {status} {sent}")).unwrap();
        }
    }
    let config = config().with(|config| config.log_format = LogFormat::Common);
    let (lines, logged) = mpsc::channel();
    let server = Running::with(config, || Logging(lines));
    let mut client = server.client();
    client.get("/a");
    client
        .send("HEAD /b HTTP/1.1\r\nHost: test\r\n\r\n")
        .reply_to("HEAD");
    for expected in ["GET /a HTTP/1.1 200 12", "HEAD /b HTTP/1.1 200 0"] {
        assert_eq!(logged.recv_timeout(TIMEOUT).unwrap(), expected);
    }
}

/// Counts its clones, and answers with the thread.
struct Loop(Arc<AtomicUsize>);

impl Clone for Loop {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl BaseHttpRequestHandler for Loop {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let thread = format!("{:?}", thread::current().id());
        Ok(send_text(exchange, &thread)?)
    }
}

#[test]
fn several_loops_share_a_port_each_with_a_clone_and_one_handle_ends_all() {
    let clones = Arc::new(AtomicUsize::new(0));
    let loops = NonZeroUsize::new(4).unwrap();
    let handler = Loop(Arc::clone(&clones));
    let server = ThreadingHttpServer::bind_with("127.0.0.1:0", handler, config(), loops).unwrap();
    let (address, handle) = (server.server_addresses()[0], server.handle());
    let clients = thread::spawn(move || {
        let mut clients: Vec<_> = (0..64).map(|_| Client::connect(address)).collect();
        let threads: HashSet<_> = clients
            .iter_mut()
            .map(|client| client.get("/").text().to_owned())
            .collect();
        handle.shutdown();
        assert!(clients.iter_mut().all(|client| client.rest().is_empty()));
        threads
    });
    server.serve_forever().unwrap();
    let threads = clients.join().unwrap();
    // The kernel gives all 64 to one of four loops with a probability of 4^-63.
    assert!((2..=4).contains(&threads.len()), "{threads:?}");
    let clones = clones.load(Ordering::Relaxed);
    assert_eq!(clones, 3, "the last loop has the original");
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn several_loops_take_over_a_socket_that_listens_already_and_their_threads_have_names() {
    #[derive(Clone)]
    struct Named;
    impl BaseHttpRequestHandler for Named {
        fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
            exchange.send_text(200, thread::current().name().unwrap_or("no name"));
            Ok(())
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let loops = NonZeroUsize::new(3).unwrap();
    let server =
        ThreadingHttpServer::from_listeners(vec![listener], Named, config(), loops).unwrap();
    assert_eq!(server.server_addresses(), [address]);
    assert_eq!(server.info().server_port(), address.port());
    let handle = server.handle();
    let thread = thread::Builder::new().name("mine".to_owned());
    let thread = thread.spawn(move || server.serve_forever()).unwrap();
    let names: HashSet<_> = (0..300)
        .map(|_| Client::connect(address).get("/").text().to_owned())
        .collect();
    let known = ["mine", "httpoll-1", "httpoll-2"];
    assert!(
        names.iter().all(|name| known.contains(&name.as_str())),
        "{names:?}"
    );
    handle.shutdown();
    thread.join().unwrap().unwrap();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_server_may_be_bound_asked_for_its_port_and_moved_into_a_thread() {
    let site = tempfile::tempdir().unwrap();
    let files = httpoll::SimpleHttpRequestHandler::new(&site).unwrap();
    let mut server = HttpServer::bind_with("127.0.0.1:0", files, config()).unwrap();
    let (port, handle) = (server.server_port(), server.handle());
    let thread = thread::spawn(move || server.serve_forever());
    let mut client = Client::connect(SocketAddr::from(([127, 0, 0, 1], port)));
    assert_eq!(client.get("/").status, 200);
    handle.shutdown();
    thread.join().unwrap().unwrap();
}

#[test]
fn one_loop_does_not_share_its_port_unasked() {
    let one = NonZeroUsize::MIN;
    let first = ThreadingHttpServer::bind_with("127.0.0.1:0", Loop(Arc::default()), config(), one);
    let address = first.as_ref().unwrap().server_addresses()[0];
    let second = ThreadingHttpServer::bind_with(address, Loop(Arc::default()), config(), one);
    assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn a_server_counts_what_it_does() {
    let (mut server, address) = bind(Hello);
    assert_eq!(server.info().counters().requests, 0);
    let client = thread::spawn(move || {
        let mut client = Client::connect(address);
        (client.get("/").body.len(), client.get("/").head.len())
    });
    for _ in 0..2 {
        assert!(server.handle_request(Some(TIMEOUT)).unwrap());
    }
    client.join().unwrap();
    let counters = server.info().counters();
    assert_eq!(
        (
            counters.requests,
            counters.accepted,
            counters.connections_peak
        ),
        (2, 1, 1)
    );
    assert!(
        counters.bytes_sent > 100 && counters.turns >= 2 && counters.events >= 2,
        "{counters:?}"
    );
    assert!(
        counters.to_string().contains("requests        2 "),
        "{counters}"
    );
}

#[test]
fn the_descriptor_of_a_server_can_be_borrowed() {
    use std::os::fd::{AsFd, AsRawFd};
    let (server, _) = bind(Hello);
    assert_eq!(server.as_fd().as_raw_fd(), server.as_raw_fd());
}
