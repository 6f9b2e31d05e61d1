//! Deadlines within TLS. Those that the command line does not set are those of a server of the library in a thread of the test.

use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

use httpoll::{
    HttpServer, LogFormat, ServerConfig, ServerHandle, SimpleHttpRequestHandler, TlsConfig,
};
use rustix::process::Signal;
use rustls::ALL_VERSIONS;

use crate::support::{
    Authority, Client, End, Handshake, HttpsServer, Site, TlsClient, get, wait_until,
};

const SHORT: Duration = Duration::from_millis(200);
const BIG: u64 = 64 << 20;

/// A server in a thread; shut down when dropped.
struct Library {
    address: SocketAddr,
    authority: Authority,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
    _site: Site,
}

impl Library {
    fn start(change: impl FnOnce(&mut ServerConfig)) -> Self {
        let site = Site::new();
        site.sparse("big", BIG);
        let authority = Authority::new();
        let pair = authority.issue(&["localhost"]);
        let tls = TlsConfig::from_pem((pair.certificate + &pair.key).as_bytes()).unwrap();
        let config = ServerConfig::default().with(|config| {
            config.log_format = LogFormat::None;
            change(config);
        });
        let handler = SimpleHttpRequestHandler::new(site.root()).unwrap();
        let (sender, receiver) = channel();
        let thread = thread::spawn(move || {
            let server = HttpServer::bind_tls_with("127.0.0.1:0", handler, config, &tls);
            let mut server = server.unwrap();
            sender
                .send((server.server_addresses()[0], server.handle()))
                .unwrap();
            server.serve_forever().unwrap();
        });
        let (address, handle) = receiver.recv().unwrap();
        Self {
            address,
            authority,
            handle,
            thread: Some(thread),
            _site: site,
        }
    }

    fn handshake(&self) -> Handshake {
        let tcp = Client::connect(self.address).into_stream();
        let config = self.authority.client_config(ALL_VERSIONS);
        Handshake::begin(tcp, config, "localhost")
    }

    fn connect(&self) -> TlsClient {
        self.handshake().complete().expect("no handshake")
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        self.handle.shutdown();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

#[test]
fn a_handshake_that_does_not_end_is_given_up() {
    let server = Library::start(|config| config.head_timeout = SHORT);
    let hello = server.handshake().flight();
    let mut clients: Vec<_> = [0, 1, 4, 5, 6, 100, hello.len() - 1, hello.len()]
        .map(|end| {
            let mut client = Client::connect(server.address);
            client.send(&hello[..end]);
            client
        })
        .into();
    for client in &mut clients {
        client.read_to_end();
    }
    assert_eq!(server.connect().get("/hello.txt").status(), 200);
}

#[test]
fn a_handshake_that_trickles_is_given_up() {
    let server = Library::start(|config| config.head_timeout = SHORT);
    let mut handshake = server.handshake();
    let hello = handshake.flight();
    let mut client = Client::connect(server.address);
    let mut drip = client.stream().try_clone().unwrap();
    let slowly = move || {
        for byte in hello {
            if std::io::Write::write_all(&mut drip, &[byte]).is_err() {
                return true;
            }
            sleep(SHORT / 10);
        }
        false
    };
    let dripping = thread::spawn(slowly);
    client.count_to_end();
    drop(client);
    assert!(dripping.join().unwrap(), "the server took the whole flight");
}

#[test]
fn a_head_that_does_not_end_is_408() {
    let server = Library::start(|config| config.head_timeout = SHORT);
    let mut client = server.connect();
    client.send("GET /hello.txt HTTP/1.1\r\nX: ");
    assert_eq!(client.read_reply().status(), 408);
    client.assert_notified();
}

#[test]
fn idle_connections_are_closed_with_close_notify() {
    let server = Library::start(|config| config.keep_alive_timeout = SHORT);
    let (mut fresh, mut used) = (server.connect(), server.connect());
    assert_eq!(used.get("/hello.txt").status(), 200);
    fresh.assert_notified();
    used.assert_notified();
}

#[test]
fn keep_alive_of_the_command_closes_with_close_notify() {
    let server = HttpsServer::with(&Site::new(), &["--keep-alive", "0.2"]);
    let mut client = server.connect();
    client.get("/hello.txt");
    client.assert_notified();
    server.assert_serving();
}

#[test]
fn a_client_that_stops_reading_is_given_up() {
    let server = Library::start(|config| config.send_timeout = SHORT);
    let mut client = server.connect();
    client.send(get("/big")).read_head();
    sleep(SHORT * 5);
    let (count, end) = client.read_to_its_end();
    assert!(count < BIG, "{count}");
    assert!(end != End::Notified, "the reply is not whole");
}

#[test]
fn a_request_in_plain_text_that_does_not_end_is_given_up() {
    let server = Library::start(|config| config.head_timeout = SHORT);
    for begun in ["G", "GET / HTTP/1.1\r\nHost: x\r\n"] {
        let mut client = Client::connect(server.address);
        client.send(begun).read_to_end();
    }
}

#[test]
fn sigterm_closes_idle_connections_with_close_notify_and_finishes_replies() {
    let site = Site::new();
    site.sparse("big", BIG);
    for loops in ["1", "3"] {
        let mut server = HttpsServer::with(&site, &["-n", loops]);
        let (mut idle, mut busy) = (server.connect(), server.connect());
        idle.get("/hello.txt");
        busy.send(get("/big")).read_head();
        // Longer than the server waits for a request that may be on its way.
        sleep(Duration::from_millis(400));
        server.signal(Signal::TERM);
        idle.assert_notified();
        assert_eq!(busy.read_to_its_end(), (BIG, End::Notified));
        assert_eq!(server.process().wait().code(), Some(0));
    }
}

#[test]
fn a_client_that_has_just_connected_is_answered_after_sigterm() {
    let mut server = HttpsServer::start(&Site::new());
    let mut handshake = Handshake::with(&server, server.client_config());
    let hello = handshake.flight();
    handshake.send(&hello).receive();
    server.signal(Signal::TERM);
    let mut client = handshake.complete().unwrap();
    assert_eq!(client.get("/hello.txt").status(), 200);
    client.assert_notified();
    drop(client);
    assert_eq!(server.process().wait().code(), Some(0));
}

#[test]
fn an_unfinished_handshake_does_not_keep_the_server_from_ending() {
    let mut server = HttpsServer::with(&Site::new(), &["--drain-timeout", "0.3"]);
    let mut handshake = Handshake::with(&server, server.client_config());
    let hello = handshake.flight();
    handshake.send(&hello).receive();
    let mut half = server.connect_plain();
    half.send(&hello[..50]);
    server.assert_serving();
    server.signal(Signal::TERM);
    assert_eq!(server.process().wait().code(), Some(0));
    half.count_to_end();
}

#[test]
fn a_second_signal_cuts_a_reply_without_close_notify() {
    let site = Site::new();
    site.sparse("big", BIG);
    let mut server = HttpsServer::start(&site);
    let mut client = server.connect();
    client.send(get("/big")).read_head();
    server.signal(Signal::TERM);
    wait_until("the server stops listening", || {
        std::net::TcpStream::connect(server.address()).is_err()
    });
    server.signal(Signal::TERM);
    server.process().wait();
    let (count, end) = client.read_to_its_end();
    assert!(count < BIG && end != End::Notified, "{count} {end:?}");
}
