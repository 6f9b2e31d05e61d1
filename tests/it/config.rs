//! Timeouts and limits that the command line does not set: a server of the library runs in a thread of the test.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use httpoll::{HttpServer, LogFormat, ServerConfig, ServerHandle, SimpleHttpRequestHandler};
use rustix::net::sockopt::set_socket_recv_buffer_size;

use crate::support::{Client, Site, get, request, wait_until};

const SHORT: Duration = Duration::from_millis(100);
const BIG: u64 = 64 << 20;

/// A server in a thread; shut down when dropped.
struct Library {
    address: SocketAddr,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
    _site: Site,
}

impl Library {
    fn start(site: &Site, config: ServerConfig) -> Self {
        let (sender, receiver) = channel();
        let handler = SimpleHttpRequestHandler::new(site.root()).unwrap();
        let thread = thread::spawn(move || {
            let config = config.with(|config| config.log_format = LogFormat::None);
            let mut server = HttpServer::bind_with("127.0.0.1:0", handler, config).unwrap();
            sender
                .send((server.server_addresses()[0], server.handle()))
                .unwrap();
            server.serve_forever().unwrap();
        });
        let (address, handle) = receiver.recv().unwrap();
        Self {
            address,
            handle,
            thread: Some(thread),
            _site: site.clone(),
        }
    }

    fn connect(&self) -> Client {
        Client::connect(self.address)
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        self.handle.shutdown();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

fn defaults() -> ServerConfig {
    ServerConfig::default().with(|config| {
        config.linger_timeout = SHORT;
        config.linger_time = SHORT;
    })
}

#[test]
fn default_timeouts_and_limits() {
    let config = ServerConfig::default();
    assert_eq!(config.head_timeout, Duration::from_secs(10));
    assert_eq!(config.keep_alive_timeout, Duration::from_secs(75));
    assert_eq!(config.send_timeout, Duration::from_secs(30));
    assert_eq!(
        (config.max_request_line, config.max_head),
        (8 * 1024, 32 * 1024)
    );
}

#[test]
fn a_slow_head_is_408() {
    let config = defaults().with(|config| config.head_timeout = SHORT);
    let server = Library::start(&Site::new(), config);
    let mut client = server.connect();
    let mut drip = client.stream().try_clone().unwrap();
    client.send("GET / HTTP/1.1\r\nX: ");
    thread::spawn(move || {
        while std::io::Write::write_all(&mut drip, b"x").is_ok() {
            thread::sleep(SHORT / 10);
        }
    });
    assert_eq!(client.read_reply().status(), 408);
}

#[test]
fn max_connections_per_ip_refuses_further_connections() {
    let config = defaults().with(|config| config.max_connections_per_ip = Some(2));
    let server = Library::start(&Site::new(), config);
    let mut clients = [server.connect(), server.connect()];
    for client in &mut clients {
        assert_eq!(client.get("/hello.txt").status(), 200);
    }
    server.connect().assert_closed();
    let [mut staying, leaving] = clients;
    drop(leaving);
    wait_until("another may come", || {
        let mut stream = TcpStream::connect(server.address).unwrap();
        let mut byte = [0];
        // The server may reset a refused connection before the request is written.
        stream.write_all(get("/hello.txt").as_bytes()).is_ok()
            && stream.read(&mut byte).is_ok_and(|length| length == 1)
    });
    assert_eq!(staying.get("/hello.txt").status(), 200);
}

#[test]
fn an_unwanted_body_that_stalls_ends_the_connection() {
    let config = defaults().with(|config| config.linger_time = Duration::MAX);
    let server = Library::start(&Site::new(), config);
    let mut client = server.connect();
    client
        .send(request("POST", "/", &["Content-Length: 5"]))
        .send("hell");
    assert_eq!(client.read_reply().status(), 405);
    assert_eq!(client.count_to_end(), 0);
}

#[test]
fn an_unwanted_body_that_trickles_ends_the_connection() {
    let config = defaults().with(|config| config.linger_timeout = Duration::MAX);
    let server = Library::start(&Site::new(), config);
    for (framing, piece) in [
        ("Content-Length: 1000000", "x"),
        ("Transfer-Encoding: chunked", "1\r\nx\r\n"),
    ] {
        let mut client = server.connect();
        let mut trickle = client.stream().try_clone().unwrap();
        client.send(request("POST", "/", &[framing]));
        assert_eq!(client.read_reply().status(), 405);
        thread::spawn(move || {
            while trickle.write_all(piece.as_bytes()).is_ok() {
                thread::sleep(SHORT / 10);
            }
        });
        assert_eq!(client.count_to_end(), 0);
    }
}

/// A connection whose request was refused, and a stream that can still send on it.
fn refused(server: &Library) -> (Client, TcpStream) {
    let mut client = server.connect();
    let stream = client.stream().try_clone().unwrap();
    client.send(request("PUT", "/", &["Content-Length: 99999999999"]));
    assert_eq!(client.read_reply().status(), 405);
    client.assert_closed();
    (client, stream)
}

#[test]
fn a_refused_connection_closes_when_the_client_is_silent() {
    let config = defaults().with(|config| config.linger_time = Duration::MAX);
    let server = Library::start(&Site::new(), config);
    let (client, _stream) = refused(&server);
    wait_until("the connection is closed", || {
        !is_open(server.address, &client)
    });
}

#[test]
fn a_refused_connection_closes_while_the_client_keeps_sending() {
    let config = defaults().with(|config| config.linger_timeout = Duration::MAX);
    for pause in [Duration::ZERO, SHORT / 10] {
        let server = Library::start(&Site::new(), config.clone());
        let (_client, mut stream) = refused(&server);
        // The loop ends when the server resets the connection.
        while stream.write_all(&[0; 1000]).is_ok() {
            thread::sleep(pause);
        }
    }
}

#[test]
fn a_refused_client_that_keeps_sending_outlives_linger_timeout() {
    let config = defaults().with(|config| {
        config.linger_timeout = SHORT * 10;
        config.linger_time = Duration::MAX;
    });
    let server = Library::start(&Site::new(), config);
    let (client, mut stream) = refused(&server);
    for _ in 0..30 {
        stream.write_all(b"x").unwrap();
        thread::sleep(SHORT / 2);
    }
    assert!(is_open(server.address, &client));
}

#[test]
fn a_refused_client_that_keeps_sending_does_not_delay_shutdown() {
    let config = defaults().with(|config| {
        config.drain_timeout = SHORT;
        config.linger_timeout = Duration::MAX;
        config.linger_time = Duration::MAX;
    });
    let server = Library::start(&Site::new(), config);
    let (_client, mut stream) = refused(&server);
    let sending = thread::spawn(move || {
        while stream.write_all(b"x").is_ok() {
            thread::sleep(SHORT / 10);
        }
    });
    drop(server);
    sending.join().unwrap();
}

#[test]
fn idle_connections_are_closed_without_a_word() {
    let config = defaults().with(|config| config.keep_alive_timeout = SHORT);
    let server = Library::start(&Site::new(), config);
    let (mut fresh, mut used) = (server.connect(), server.connect());
    assert_eq!(used.get("/hello.txt").status(), 200);
    fresh.assert_closed();
    used.assert_closed();
}

/// Whether the server still holds its end of the connection open.
fn is_open(server: SocketAddr, client: &Client) -> bool {
    let client = client.stream().local_addr().unwrap().port();
    let ends = format!(" 0100007F:{:04X} 0100007F:{client:04X} ", server.port());
    let connections = fs::read_to_string("/proc/net/tcp").unwrap();
    // The kernel may list a closed connection for a while, but without an inode.
    let has_inode = |line: &str| line.split_whitespace().nth(9) != Some("0");
    connections
        .lines()
        .any(|line| line.contains(&ends) && has_inode(line))
}

#[test]
fn a_client_that_stops_reading_is_given_up() {
    let site = Site::new();
    site.sparse("big", BIG);
    let config = defaults().with(|config| config.send_timeout = SHORT);
    let server = Library::start(&site, config);
    let mut client = server.connect();
    client.send(get("/big")).read_head();
    wait_until("the connection is closed", || {
        !is_open(server.address, &client)
    });
    assert!(client.count_to_end() < BIG);
}

#[test]
fn a_slow_reader_gets_the_whole_reply() {
    let site = Site::new();
    site.sparse("big", BIG);
    let config = defaults().with(|config| config.send_timeout = Duration::from_secs(2));
    let server = Library::start(&site, config);
    let mut client = server.connect();
    set_socket_recv_buffer_size(client.stream(), 1 << 16).unwrap();
    client
        .send(request("GET", "/big", &["Connection: close"]))
        .read_head();
    // The timeout is shorter than the time this client takes to read what the kernel buffers.
    for _ in 0..100 {
        assert_eq!(client.take(1 << 14).len(), 1 << 14);
        thread::sleep(SHORT / 2);
    }
    assert_eq!(client.count_to_end(), BIG - 100 * (1 << 14));
}

#[test]
fn limits_can_be_set() {
    let config = defaults().with(|config| {
        config.max_request_line = 100;
        config.max_head = 200;
        config.max_discard = 10;
        config.http09 = false;
    });
    let server = Library::start(&Site::new(), config);
    let long = "x".repeat(100);
    for (request, status) in [
        (get(&format!("/{long}")), 414),
        (
            request("GET", "/", &[&format!("X: {long}"), &format!("Y: {long}")]),
            431,
        ),
        ("GET /hello.txt\r\n".to_owned(), 400),
    ] {
        assert_eq!(server.connect().ask(request).status(), status);
    }
    let mut client = server.connect();
    let reply = client.ask(request("GET", "/hello.txt", &["Content-Length: 11"]));
    assert!(reply.status() == 200 && reply.head.closes());
}
