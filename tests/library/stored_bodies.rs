//! Bodies that are stored until the handler runs: in memory or in a file, within limits that all connections share.

use std::ffi::OsStr;
use std::fs;

use httpoll::{Exchange, MemoryServer, ServerConfig};

use crate::bodies::{KIB, MIB, chunked, echo, pattern};
use crate::child::Child;
use crate::client::{Client, Reply, find, post};
use crate::handlers::{answering, send_text};
use crate::running::{Running, config, eventually};

#[test]
fn a_large_body_without_a_temporary_directory_is_507() {
    let server = Child::example_in("echo", &[], &[("TMPDIR", "/nonexistent/httpoll")]);
    let mut client = server.client();
    let small = pattern(64 * KIB);
    assert!(client.send(post("/", &small)).reply().body == small);
    let descriptors = server.descriptors();
    for _ in 0..3 {
        for request in [
            post("/", pattern(200 * KIB)),
            chunked(&pattern(200 * KIB), 9999),
        ] {
            let mut other = server.client();
            other.send(request);
            let reply = other.reply();
            assert_eq!(reply.status, 507);
            assert!(reply.closes());
            assert!(other.rest().is_empty());
        }
    }
    assert!(client.send(post("/", &small)).reply().body == small);
    eventually(|| server.descriptors() == descriptors);
}

#[test]
fn a_large_body_is_in_an_unnamed_file_until_its_client_leaves() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let server = Child::example_in("echo", &[], &[("TMPDIR", path)]);
    let rest = server.descriptors();
    let request = post("/", pattern(200 * KIB));
    let mut client = server.client();
    client.send(&request[..150 * KIB]);
    // The client's connection and the file with its body.
    eventually(|| server.descriptors() == rest + 2);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    drop(client);
    eventually(|| server.descriptors() == rest);
}

/// Uploads some MiB; returns by how many KiB the peak memory of the process has grown.
fn growth(server: &Child, method: &str, mebibytes: usize) -> u64 {
    let mut client = server.client();
    // The first request has costs that do not depend on its size.
    let warm_up = String::from_utf8(post("/warm.up", "x".repeat(128 * KIB))).unwrap();
    let warm_up = client.send(warm_up.replacen("POST", method, 1)).reply();
    assert!(warm_up.status < 300, "{}", warm_up.head);
    let before = server.memory("VmHWM");
    let length = mebibytes * MIB;
    client.send(format!(
        "{method} /large.bin HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n"
    ));
    let piece = pattern(MIB);
    for _ in 0..mebibytes {
        client.send(&piece);
    }
    let reply = client.reply();
    assert!(reply.status < 300, "{}", reply.head);
    server.memory("VmHWM") - before
}

#[test]
fn a_large_upload_costs_no_memory() {
    let server = Child::handler("discarding");
    let growth = growth(&server, "POST", 300);
    assert!(growth < 4096, "{growth} KiB");
}

#[test]
#[ignore = "writes two GiB to the disk"]
fn an_upload_of_a_gibibyte_costs_no_memory() {
    let directory = tempfile::tempdir().unwrap();
    let server = Child::example("upload", &[directory.path().as_os_str()]);
    let growth = growth(&server, "PUT", 1024);
    assert!(growth < 4096, "{growth} KiB");
    let stored = fs::metadata(directory.path().join("large.bin")).unwrap();
    assert_eq!(stored.len(), 1024 * MIB as u64);
}

#[test]
fn an_upload_to_the_example_costs_no_memory() {
    let directory = tempfile::tempdir().unwrap();
    let server = Child::example("upload", &[OsStr::new(directory.path())]);
    let growth = growth(&server, "PUT", 32);
    assert!(growth < 4096, "{growth} KiB");
    let stored = fs::read(directory.path().join("large.bin")).unwrap();
    assert!(find(&stored[31 * MIB..], &pattern(100)).is_some());
    assert_eq!(stored.len(), 32 * MIB);
}

/// Uploads that are not complete and have sent `length` bytes each.
fn unfinished_uploads(server: &Running, count: usize, length: usize) -> Vec<Client> {
    let head = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10000000\r\n\r\n";
    (0..count)
        .map(|_| {
            let mut client = server.client();
            client.send([head.as_bytes(), &pattern(length)].concat());
            client
        })
        .collect()
}

#[test]
fn arriving_bodies_share_limits() {
    let limits: [(ServerConfig, usize, usize); 3] = [
        (
            config().with(|config| config.max_spooled_memory = 100_000),
            2,
            50_000,
        ),
        (
            config().with(|config| config.max_spooled_bytes = 1_000_000),
            1,
            900_000,
        ),
        (
            config().with(|config| config.max_spooled_files = 3),
            3,
            100_000,
        ),
    ];
    for (config, count, length) in limits {
        let server = Running::with(config, || answering(echo));
        let held = unfinished_uploads(&server, count, length);
        let body = pattern(length);
        let ask = || server.client().send(post("/", &body)).reply();
        // The server has then received all that `held` have sent.
        eventually(|| ask().status == 503);
        let reply = ask();
        assert!(reply.closes());
        assert!(reply.field("retry-after").is_some());
        drop(held);
        eventually(|| ask().status == 200);
    }
}

#[test]
fn a_taken_body_counts_until_it_is_dropped() {
    let config = config().with(|config| config.max_spooled_memory = 10);
    let mut kept = Vec::new();
    let mut server = MemoryServer::with_config(
        answering(|exchange: &mut Exchange<'_>| {
            let body = exchange.take_body();
            match exchange.path() {
                "/keep" => kept.push(body),
                _ => kept.clear(),
            }
            send_text(exchange, "")
        }),
        config,
    );
    let mut status = |request: Vec<u8>| Reply::all(&server.respond(&request), &["POST"])[0].status;
    assert_eq!(status(post("/keep", "12345678")), 200);
    assert_eq!(status(post("/keep", "12345678")), 503);
    assert_eq!(status(post("/keep", "12")), 200);
    assert_eq!(status(post("/drop", "")), 200);
    assert_eq!(status(post("/keep", "12345678")), 200);
}
