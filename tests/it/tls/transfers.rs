//! Large replies within TLS: they arrive whole, or their end shows that they did not.

use std::io::Read as _;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size;

use crate::common::memory;
use crate::support::{End, HttpsServer, Site, TlsClient, get, request, wait_until};

const LARGE: u64 = 50_000_000;

fn content() -> Vec<u8> {
    let words = (0..LARGE as u32 / 4).map(|word| word.wrapping_mul(2_654_435_761));
    words.flat_map(u32::to_le_bytes).collect()
}

/// Reads `count` times 1 KiB, and pauses after each.
fn read_slowly(client: &mut TlsClient, count: usize) -> Vec<u8> {
    let mut body = Vec::new();
    for _ in 0..count {
        body.append(&mut client.take(1024));
        sleep(Duration::from_millis(2));
    }
    body
}

#[test]
fn a_large_file_arrives_byte_for_byte() {
    let (site, content) = (Site::in_memory(), content());
    site.file("large", &content);
    let server = HttpsServer::start(&site);
    let mut client = server.connect();
    assert!(client.get("/large").body == content);
    client.assert_open();
    assert!(server.log_lines(2)[0].ends_with(&format!("\" 200 {LARGE}")));
}

#[test]
fn ranges_of_a_large_file_arrive_byte_for_byte() {
    let (site, content) = (Site::in_memory(), content());
    site.file("large", &content);
    let server = HttpsServer::start(&site);
    let mut client = server.connect();
    let last = content.len() - 1;
    for (first, last) in [
        (0, 0),
        (16_383, 16_384),
        (1, 1_000_000),
        (16_384, 32_767),
        (33_333_333, last),
        (last, last),
    ] {
        let range = format!("Range: bytes={first}-{last}");
        let reply = client.ask(request("GET", "/large", &[&range]));
        assert_eq!(reply.status(), 206);
        assert!(reply.body == content[first..=last], "{range}");
    }
}

#[test]
fn a_slow_reader_gets_the_whole_file() {
    let (site, content) = (Site::in_memory(), content());
    site.file("large", &content);
    let server = HttpsServer::start(&site);
    let mut client = server.connect();
    set_socket_recv_buffer_size(client.tcp(), 1 << 14).unwrap();
    client.send(get("/large")).read_head();
    let mut body = read_slowly(&mut client, 300);
    body.append(&mut client.take(content.len() - body.len()));
    assert!(body == content);
    client.assert_open();
}

#[test]
fn slow_readers_cost_little_memory() {
    let site = Site::in_memory();
    site.sparse("large", LARGE);
    let server = HttpsServer::start(&site);
    let mut clients: Vec<_> = (0..50).map(|_| server.connect()).collect();
    for client in &mut clients {
        set_socket_recv_buffer_size(client.tcp(), 1 << 14).unwrap();
        client.assert_open();
    }
    let before = memory(server.id(), "VmRSS");
    for client in &mut clients {
        client.send(get("/large")).read_head();
    }
    for client in &mut clients {
        read_slowly(client, 4);
    }
    // A record and its ciphertext are 32 KiB, so this is about one of each for each reader.
    let more = memory(server.id(), "VmRSS").saturating_sub(before);
    assert!(more < 2 * 1024, "{more} KiB");
    assert_eq!(clients[49].take(100_000).len(), 100_000);
}

#[test]
fn a_client_that_never_reads_costs_little_memory() {
    let site = Site::new();
    site.file("page.bin", [0; 30_000]);
    let server = HttpsServer::start(&site);
    let (mut greedy, mut bystander) = (server.connect(), server.connect());
    greedy.assert_open();
    let before = memory(server.id(), "VmRSS");
    greedy.tcp().set_nonblocking(true).unwrap();
    let requests = get("/page.bin").repeat(100);
    let mut refused = 0;
    while refused < 100 {
        match std::io::Write::write(greedy.stream_mut(), requests.as_bytes()) {
            Ok(_) => refused = 0,
            Err(_) => refused += 1,
        }
        bystander.assert_open();
    }
    let more = memory(server.id(), "VmRSS").saturating_sub(before);
    assert!(more < 1024, "{more} KiB");
}

#[test]
fn idle_connections_cost_little_memory() {
    let server = HttpsServer::start(&Site::new());
    let config = Arc::new(server.client_config());
    let connect = |_| {
        let mut client = server.connect_with(Arc::clone(&config));
        client.get("/hello.txt");
        client
    };
    let mut clients: Vec<_> = (0..20).map(connect).collect();
    let before = memory(server.id(), "VmRSS");
    clients.extend((0..500).map(connect));
    let more = memory(server.id(), "VmRSS").saturating_sub(before);
    assert!(more < 500 * 8, "{more} KiB");
    clients.iter_mut().for_each(|client| client.assert_open());
}

#[test]
fn a_file_that_shrinks_ends_without_close_notify() {
    for with_close in [true, false] {
        let site = Site::in_memory();
        let file = site.sparse("shrinking", LARGE);
        site.sparse("steady", LARGE);
        let server = HttpsServer::start(&site);
        let (mut client, mut other) = (server.connect(), server.connect());
        other.send(get("/steady")).read_head();
        let close = ["Connection: close"];
        let fields = if with_close { &close[..] } else { &[] };
        client
            .send(request("GET", "/shrinking", fields))
            .read_head();
        file.set_len(1000).unwrap();
        let (count, end) = client.read_to_its_end();
        assert!(count < LARGE, "{count}");
        assert!(matches!(end, End::Truncated | End::Reset), "{end:?}");
        assert_eq!(other.take(LARGE as usize).len() as u64, LARGE);
        other.assert_open();
    }
}

#[test]
fn a_whole_reply_ends_with_close_notify() {
    let site = Site::in_memory();
    site.sparse("large", LARGE);
    let server = HttpsServer::start(&site);
    let mut client = server.connect();
    let last = request("GET", "/large", &["Connection: close"]);
    client.send(last).read_head();
    assert_eq!(client.read_to_its_end(), (LARGE, End::Notified));
}

#[test]
fn clients_that_leave_within_a_reply_leave_others_alone() {
    let site = Site::new();
    site.file("page.bin", [b'x'; 100]);
    let server = HttpsServer::start(&site);
    server.get("/page.bin");
    let before = server.descriptors();
    let mut bystander = server.connect();
    // Tickets and reply are longer than this.
    for length in (1..400).step_by(2) {
        let mut client = server.connect();
        client.send(get("/page.bin"));
        let mut received = vec![0; length];
        client.tcp().read_exact(&mut received).unwrap();
        if length % 2 == 0 {
            client.reset_tcp();
        }
    }
    bystander.assert_open();
    server.assert_serving();
    drop(bystander);
    wait_until("all descriptors are closed", || {
        server.descriptors() <= before + 1
    });
}
