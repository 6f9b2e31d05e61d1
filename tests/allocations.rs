//! A request for a cached file costs no heap allocation, and over TLS only those of rustls. This is a separate binary, because it replaces the global allocator
//! by one that counts.
#![allow(clippy::unwrap_used)] // A test fails by a panic.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
#[cfg(feature = "tls")]
use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use httpoll::{HttpServer, LogFormat, ServerConfig, SimpleHttpRequestHandler};
use tempfile::TempDir;

const LARGE: usize = 100_000;

/// Held by the test that runs: what another one does beside the served directory is an event that the server has to read.
static ALONE: Mutex<()> = Mutex::new(());

/// Returns a directory with a small and a large file.
fn site() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("small.html"), vec![b'x'; 1024]).unwrap();
    fs::write(directory.path().join("large.bin"), vec![b'x'; LARGE]).unwrap();
    // The server does not keep files that have just changed.
    std::thread::sleep(Duration::from_millis(100));
    directory
}

fn handler(directory: &TempDir) -> SimpleHttpRequestHandler {
    SimpleHttpRequestHandler::new(directory.path()).unwrap()
}

fn quiet() -> ServerConfig {
    ServerConfig::default().with(|config| config.log_format = LogFormat::None)
}

/// Sends `request` and turns the server until `length` bytes of the reply are there.
fn exchange(
    server: &mut HttpServer<SimpleHttpRequestHandler>,
    client: &mut TcpStream,
    request: &[u8],
    length: usize,
    buffer: &mut [u8],
) {
    client.write_all(request).unwrap();
    let began = Instant::now();
    let mut read = 0;
    while read < length {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{read} of {length} bytes came"
        );
        server.turn(Some(Duration::from_millis(1))).unwrap();
        read += client.read(buffer).unwrap_or(0);
    }
}

/// The If-None-Match field with the current tag of the small file.
fn tag(
    server: &mut HttpServer<SimpleHttpRequestHandler>,
    client: &mut TcpStream,
    buffer: &mut [u8],
) -> String {
    let request = b"HEAD /small.html HTTP/1.1\r\nHost: localhost\r\n\r\n";
    exchange(server, client, request, 1, buffer);
    let reply = String::from_utf8_lossy(buffer);
    let tag = reply.lines().find_map(|line| line.strip_prefix("ETag: "));
    format!("If-None-Match: {}\r\n", tag.unwrap())
}

#[test]
fn a_cached_file_costs_no_allocation() {
    let _alone = ALONE.lock();
    let directory = site();
    let (handler, config) = (handler(&directory), quiet());
    let mut server = HttpServer::bind_with("127.0.0.1:0", handler, config).unwrap();
    let mut client = TcpStream::connect(server.server_addresses()[0]).unwrap();
    client.set_nonblocking(true).unwrap();
    let mut buffer = vec![0; 1 << 20];

    let tag = tag(&mut server, &mut client, &mut buffer);
    let cases = [
        ("GET /small.html", "", 1024),
        ("HEAD /small.html", "", 0),
        ("GET /small.html", &tag, 0),
        ("GET /large.bin", "", LARGE),
        ("GET /nothing", "", 0),
        ("GET /nothing", "Accept: text/plain\r\n", 0),
    ];
    for (target, field, length) in cases {
        let request = format!(
            "{target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: test\r\nAccept: */*\r\n{field}\r\n"
        );
        // Where there is no body, `exchange` waits for the first byte of the head.
        let mut run = || {
            exchange(
                &mut server,
                &mut client,
                request.as_bytes(),
                length.max(1),
                &mut buffer,
            );
        };
        (0..5).for_each(|_| run());
        let counted = measure(|| (0..100).for_each(|_| run()));
        assert_eq!(counted.count_total, 0, "{target} {field}");
    }
}

/// What rustls allocates for a request and its reply: memory for the opened record and for the sealed one.
#[cfg(feature = "tls")]
const OF_RUSTLS: u64 = 2;

#[test]
#[cfg(feature = "tls")]
fn a_cached_file_over_tls_costs_the_allocations_of_rustls() {
    let _alone = ALONE.lock();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = made.cert.pem() + &made.signing_key.serialize_pem();
    let tls = httpoll::TlsConfig::from_pem(pem.as_bytes()).unwrap();
    let directory = site();
    let (handler, config) = (handler(&directory), quiet());
    let mut server = HttpServer::bind_tls_with("127.0.0.1:0", handler, config, &tls).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(server.server_addresses()[0]).unwrap();
    socket.set_nonblocking(true).unwrap();

    // Returns how many allocations the server has made until the reply was there.
    let mut ask = || {
        let request = b"GET /small.html HTTP/1.1\r\nHost: localhost\r\n\r\n";
        client.writer().write_all(request).unwrap();
        let (mut reply, mut allocations) = (Vec::new(), 0);
        let began = Instant::now();
        while !reply.ends_with(b"xxx") {
            assert!(began.elapsed() < Duration::from_secs(10), "no reply");
            // WouldBlock is no failure here.
            let _ = client.write_tls(&mut socket);
            let turn = || server.turn(Some(Duration::from_millis(1))).unwrap();
            allocations += measure(turn).count_total;
            let _ = client.read_tls(&mut socket);
            client.process_new_packets().unwrap();
            let _ = client.reader().read_to_end(&mut reply);
        }
        allocations
    };
    for _ in 0..5 {
        ask();
    }
    for _ in 0..100 {
        assert_eq!(ask(), OF_RUSTLS);
    }
}
