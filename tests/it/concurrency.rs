//! Many clients at once: no client waits for another one.

use std::io::Write;

use crate::common::memory;
use crate::support::{Client, Server, Site, get, short_of_descriptors};

fn connect_many(server: &Server, count: usize) -> Vec<Client> {
    (0..count).map(|_| server.connect()).collect()
}

#[test]
fn idle_and_slow_clients_do_not_block_others() {
    let site = Site::new();
    site.sparse("big", 64 << 20);
    let server = Server::start(&site);
    let _idle = connect_many(&server, 100);
    let mut unfinished = connect_many(&server, 100);
    for client in &mut unfinished {
        client.send("GET /hello.txt HTTP/1.1\r\nHost: x\r\n");
    }
    let mut not_reading = connect_many(&server, 20);
    for client in &mut not_reading {
        client.send(get("/big")).read_head();
    }
    assert_eq!(server.get("/hello.txt").status(), 200);
    for client in &mut unfinished {
        assert_eq!(client.send("\r\n").read_reply().status(), 200);
    }
}

#[test]
fn hundreds_of_clients_are_served() {
    let server = Server::start(&Site::new());
    let mut clients = connect_many(&server, 500);
    for _ in 0..3 {
        for client in &mut clients {
            client.send(get("/hello.txt"));
        }
        for client in &mut clients {
            assert_eq!(client.read_reply().body, b"Hello, world!\n");
        }
    }
}

#[test]
fn a_client_that_never_reads_costs_little_memory() {
    let site = Site::new();
    site.file("page.bin", [0; 30_000]);
    let server = Server::start(&site);
    let before = memory(server.id(), "VmRSS");
    let (greedy, mut bystander) = (server.connect(), server.connect());
    greedy.stream().set_nonblocking(true).unwrap();
    let requests = get("/page.bin").repeat(1000);
    let mut refused = 0;
    while refused < 100 {
        match greedy.stream().write(requests.as_bytes()) {
            Ok(_) => refused = 0,
            Err(_) => refused += 1,
        }
        bystander.assert_open();
    }
    let more = memory(server.id(), "VmRSS").saturating_sub(before);
    assert!(more < 16 * 1024, "{more} KiB");
}

#[test]
fn the_longest_idle_connection_closes_at_the_descriptor_limit() {
    let site = Site::new();
    let server = short_of_descriptors(&site);
    let mut first = server.connect();
    assert_eq!(first.get("/hello.txt").status(), 200);
    let mut crowd = connect_many(&server, 40);
    // The server closed the connection that had been idle for longest, and can still open files.
    first.assert_closed();
    let newest = crowd.last_mut().unwrap();
    for name in ["/hello.txt", "/dir/file.txt", "/"] {
        assert_eq!(newest.get(name).status(), 200, "{name}");
    }
    drop(crowd);
    assert_eq!(server.get("/hello.txt").status(), 200);
}

#[test]
fn new_clients_wait_while_all_connections_are_busy() {
    let site = Site::in_memory();
    site.sparse("big", 64 << 20);
    let server = short_of_descriptors(&site);
    // These clients do not read, so their connections are never idle.
    let mut busy: Vec<_> = (0..30).map(|_| server.connect()).collect();
    for client in &mut busy {
        client.send(get("/big"));
    }
    let mut waiting = server.connect();
    waiting.send(get("/big"));
    busy.iter_mut()
        .take(10)
        .for_each(|client| drop(client.read_head()));
    drop(busy);
    assert_eq!(waiting.read_head().status, 200);
}
