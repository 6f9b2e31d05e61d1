//! A request for a cached file costs no heap allocation. This is a separate binary, because it replaces the global allocator
//! by one that counts.
#![allow(clippy::unwrap_used)] // A test fails by a panic.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use httpoll::{HttpServer, LogFormat, ServerConfig, SimpleHttpRequestHandler};

const LARGE: usize = 100_000;

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
    let name = format!("httpoll-allocations-{}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("small.html"), vec![b'x'; 1024]).unwrap();
    fs::write(directory.join("large.bin"), vec![b'x'; LARGE]).unwrap();
    // The server does not keep files that have just changed.
    std::thread::sleep(Duration::from_millis(100));
    let handler = SimpleHttpRequestHandler::new(&directory).unwrap();
    let config = ServerConfig::default().with(|config| config.log_format = LogFormat::None);
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
    fs::remove_dir_all(&directory).unwrap();
}
