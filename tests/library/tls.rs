//! HTTPS: servers that speak TLS on all or some of their sockets, and what a handler learns of it.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use httpoll::{
    BaseHttpRequestHandler, CertificateFiles, Exchange, HandlerResult, HttpServer, HttpStatus,
    ListeningSocket, MemoryServer, ServerHandle, ThreadingHttpServer, TlsConfig,
};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::bodies::{MIB, chunked, pattern};
use crate::child::Child;
use crate::client::{Client, Reply, TIMEOUT, get, post};
use crate::running::config;

/// Answers with what it knows of TLS; echoes a body; aborts where it is asked to.
#[derive(Clone)]
struct Secure;

impl BaseHttpRequestHandler for Secure {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        if exchange.path() == "/abort" {
            exchange.abort();
            return Ok(());
        }
        let (is_tls, name) = (exchange.is_tls(), exchange.server_name());
        let text = format!("{is_tls} {name:?}");
        exchange.send_text(200, text);
        Ok(())
    }

    fn reads_body(&self, _command: &str, _path: &str) -> bool {
        true
    }

    fn do_post(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let mut body = Vec::new();
        exchange.rfile().read_to_end(&mut body)?;
        exchange.send_response(HttpStatus::OK);
        exchange.end_headers();
        exchange.wfile().write_all(&body)?;
        Ok(())
    }
}

/// A certificate that signs itself, which is enough for clients that trust just that.
fn certificate(names: &[&str]) -> CertifiedKey<KeyPair> {
    let names: Vec<_> = names.iter().copied().map(str::to_owned).collect();
    generate_simple_self_signed(names).unwrap()
}

fn pem(pair: &CertifiedKey<KeyPair>) -> String {
    pair.cert.pem() + &pair.signing_key.serialize_pem()
}

fn tls(pair: &CertifiedKey<KeyPair>) -> TlsConfig {
    TlsConfig::from_pem(pem(pair).as_bytes()).unwrap()
}

/// A connection with TLS.
struct TlsClient(StreamOwned<ClientConnection, TcpStream>);

impl TlsClient {
    /// Connects to the server `name`, and trusts this certificate only. The handshake is done with the first request.
    fn connect(address: SocketAddr, trusted: &CertifiedKey<KeyPair>, name: &str) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.cert.der().clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self(StreamOwned::new(connection, stream))
    }

    fn ask(&mut self, request: impl AsRef<[u8]>) -> Reply {
        self.0.write_all(request.as_ref()).unwrap();
        let (mut received, mut room) = (Vec::new(), [0; 16 * 1024]);
        loop {
            if let Some((reply, _)) = Reply::parse(&received, "GET", false) {
                return reply;
            }
            let length = self.0.read(&mut room).unwrap();
            assert!(length > 0, "half a reply");
            received.extend_from_slice(&room[..length]);
        }
    }

    fn is_trusted(address: SocketAddr, trusted: &CertifiedKey<KeyPair>) -> bool {
        let mut client = Self::connect(address, trusted, "localhost");
        client.0.write_all(get("/").as_bytes()).is_ok()
    }
}

/// A server of several loops in threads; shut down when dropped.
struct Served {
    handle: ServerHandle,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

fn serve(server: ThreadingHttpServer<Secure>) -> Served {
    let handle = server.handle();
    let thread = Some(thread::spawn(move || server.serve_forever()));
    Served { handle, thread }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.handle.shutdown();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok_and(|ended| ended.is_ok()) || thread::panicking());
    }
}

const LOOPS: NonZeroUsize = NonZeroUsize::new(2).unwrap();

fn bind(tls: &TlsConfig) -> (SocketAddr, Served) {
    let server =
        ThreadingHttpServer::bind_tls_with("127.0.0.1:0", Secure, config(), LOOPS, tls).unwrap();
    (server.server_addresses()[0], serve(server))
}

#[test]
fn one_loop_and_several_speak_tls() {
    let pair = certificate(&["localhost"]);
    let tls = tls(&pair);
    let mut server = HttpServer::bind_tls("127.0.0.1:0", Secure, &tls).unwrap();
    let (one, handle) = (server.server_addresses()[0], server.handle());
    let thread = thread::spawn(move || server.serve_forever());
    let server = ThreadingHttpServer::bind_tls("127.0.0.1:0", Secure, LOOPS, &tls).unwrap();
    let several = server.server_addresses()[0];
    let _served = serve(server);
    for address in [one, several] {
        for _ in 0..6 {
            let mut client = TlsClient::connect(address, &pair, "localhost");
            for _ in 0..3 {
                assert_eq!(client.ask(get("/")).text(), "true Some(\"localhost\")");
            }
        }
    }
    handle.shutdown();
    thread.join().unwrap().unwrap();
}

#[test]
fn bind_tls_with_takes_a_configuration() {
    let pair = certificate(&["localhost"]);
    let config = config().with(|config| config.max_request_line = 20);
    let tls = tls(&pair);
    let server =
        ThreadingHttpServer::bind_tls_with("127.0.0.1:0", Secure, config, LOOPS, &tls).unwrap();
    let address = server.server_addresses()[0];
    let _served = serve(server);
    let mut client = TlsClient::connect(address, &pair, "localhost");
    assert_eq!(client.ask(get("/longer/than/that")).status, 414);
}

/// All places are taken by clients that have begun a handshake just now, and no event comes after that of the next client.
#[test]
fn half_open_handshakes_make_room() {
    let pair = certificate(&["localhost"]);
    let tls = tls(&pair);
    let config = config().with(|config| {
        config.max_connections = Some(3);
        config.head_timeout = Duration::from_secs(3600);
    });
    let one = NonZeroUsize::MIN;
    let server =
        ThreadingHttpServer::bind_tls_with("127.0.0.1:0", Secure, config, one, &tls).unwrap();
    let address = server.server_addresses()[0];
    let _served = serve(server);
    let half_open = [(); 3].map(|()| {
        let mut client = TlsClient::connect(address, &pair, "localhost");
        let StreamOwned { conn, sock } = &mut client.0;
        conn.write_tls(sock).unwrap();
        client
    });
    let mut client = TlsClient::connect(address, &pair, "localhost");
    assert_eq!(client.ask(get("/")).status, 200);
    drop(half_open);
}

#[test]
fn plain_encrypted_and_redirecting_sockets_are_served_at_once() {
    let pair = certificate(&["localhost", "127.0.0.1"]);
    let sockets = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [plain, encrypted, redirecting] = sockets
        .each_ref()
        .map(|socket| socket.local_addr().unwrap());
    let [first, second, third] = sockets.map(ListeningSocket::from);
    let listeners = [
        first,
        second.with_tls(&tls(&pair)),
        third.redirecting_to_https(encrypted.port()),
    ];
    let server = ThreadingHttpServer::from_listeners(listeners, Secure, config(), LOOPS).unwrap();
    let _served = serve(server);
    for _ in 0..4 {
        assert_eq!(Client::connect(plain).get("/").text(), "false None");
        let mut named = TlsClient::connect(encrypted, &pair, "localhost");
        assert_eq!(named.ask(get("/")).text(), "true Some(\"localhost\")");
        // A client names no server when it connects to an address.
        let mut unnamed = TlsClient::connect(encrypted, &pair, "127.0.0.1");
        assert_eq!(unnamed.ask(get("/")).text(), "true None");
        let reply = Client::connect(redirecting).get("/x?y");
        let location = format!("https://test:{}/x?y", encrypted.port());
        let found = reply.field("location");
        assert_eq!((reply.status, found), (308, Some(location.as_str())));
    }
}

#[test]
fn a_redirect_to_the_usual_port_does_not_name_it() {
    for port in [443, 0] {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let listeners = [ListeningSocket::from(socket).redirecting_to_https(port)];
        let server = ThreadingHttpServer::from_listeners(listeners, Secure, config(), LOOPS);
        let _served = serve(server.unwrap());
        let reply = Client::connect(address).get("/");
        assert_eq!(reply.field("location"), Some("https://test/"));
    }
}

#[test]
fn a_socket_with_tls_is_added_to_plain_addresses() {
    let pair = certificate(&["localhost"]);
    let mut server = ThreadingHttpServer::bind("127.0.0.1:0", Secure, LOOPS).unwrap();
    let plain = server.server_addresses()[0];
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let encrypted = socket.local_addr().unwrap();
    let socket = ListeningSocket::from(socket).with_tls(&tls(&pair));
    server.add_listeners([socket]).unwrap();
    let _served = serve(server);
    assert_eq!(Client::connect(plain).get("/").text(), "false None");
    let mut client = TlsClient::connect(encrypted, &pair, "localhost");
    assert_eq!(client.ask(get("/")).text(), "true Some(\"localhost\")");
}

#[test]
fn bodies_of_any_size_and_framing_arrive_whole() {
    let pair = certificate(&["localhost"]);
    let (address, _served) = bind(&tls(&pair));
    let mut client = TlsClient::connect(address, &pair, "localhost");
    for length in [0, 1, 16_383, 16_384, 16_385, MIB, 5 * MIB] {
        let body = pattern(length);
        for request in [
            post("/", &body),
            chunked(&body, 7919),
            chunked(&body, 16_384),
        ] {
            assert!(client.ask(request).body == body, "{length}");
        }
    }
    assert_eq!(client.ask(get("/")).status, 200);
}

#[test]
fn a_body_that_is_cut_reaches_no_handler() {
    let pair = certificate(&["localhost"]);
    let (address, _served) = bind(&tls(&pair));
    let whole = post("/", [b'x'; 100]);
    for with_close_notify in [true, false] {
        let mut client = TlsClient::connect(address, &pair, "localhost").0;
        client.write_all(&whole[..whole.len() - 1]).unwrap();
        if with_close_notify {
            client.conn.send_close_notify();
        }
        client.flush().unwrap();
        client.sock.shutdown(std::net::Shutdown::Write).unwrap();
        let mut reply = Vec::new();
        let _ = client.read_to_end(&mut reply);
        assert_eq!(String::from_utf8_lossy(&reply), "");
    }
}

#[test]
fn an_aborted_exchange_ends_without_close_notify() {
    let pair = certificate(&["localhost"]);
    let (address, _served) = bind(&tls(&pair));
    let mut client = TlsClient::connect(address, &pair, "localhost").0;
    client.write_all(get("/abort").as_bytes()).unwrap();
    let error = client.read(&mut [0]).unwrap_err().kind();
    assert!(
        matches!(error, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset),
        "{error}"
    );
}

#[test]
fn a_new_certificate_is_read_by_another_thread() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pair.pem");
    let (old, new) = (certificate(&["localhost"]), certificate(&["localhost"]));
    fs::write(&path, pem(&old)).unwrap();
    let tls = TlsConfig::from_files([CertificateFiles::new(&path)]).unwrap();
    let (address, _served) = bind(&tls);
    let mut kept = TlsClient::connect(address, &old, "localhost");
    assert_eq!(kept.ask(get("/")).status, 200);
    fs::write(&path, "no certificate").unwrap();
    let error = tls.reload().unwrap_err().to_string();
    assert!(error.contains("pair.pem"), "{error}");
    assert!(TlsClient::is_trusted(address, &old));
    fs::write(&path, pem(&new)).unwrap();
    let other = tls.clone();
    thread::spawn(move || other.reload().unwrap())
        .join()
        .unwrap();
    for _ in 0..4 {
        assert!(TlsClient::is_trusted(address, &new));
        assert!(!TlsClient::is_trusted(address, &old));
    }
    assert_eq!(kept.ask(get("/")).status, 200);
}

#[test]
fn a_request_in_memory_has_no_tls() {
    let bytes = MemoryServer::new(Secure).respond(get("/").as_bytes());
    assert_eq!(Reply::all(&bytes, &["GET"])[0].text(), "false None");
}

#[test]
fn the_example_greets_with_the_name_that_was_asked_for() {
    let made = certificate(&["localhost", "other.test"]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("both.pem");
    fs::write(&path, pem(&made)).unwrap();
    let server = Child::example("https", &[path.as_os_str(), path.as_os_str()]);
    for name in ["localhost", "other.test"] {
        let reply = TlsClient::connect(server.address, &made, name).ask(get("/"));
        assert_eq!(reply.text(), format!("Hello from {name}!\n"));
    }
}
