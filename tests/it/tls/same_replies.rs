//! TLS changes no byte of a reply, however the requests are cut into records and however slowly the client reads.

use std::io::Write as _;
use std::thread::{self, sleep};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustls::version::{TLS12, TLS13};

use crate::support::{HttpsServer, Mount, Reply, Server, Site, TlsClient, get, request};

/// Files of many sizes around those of records, requests for them, and a directory.
fn site() -> Site {
    let site = Site::in_memory();
    for length in [
        0, 1, 100, 16_000, 16_384, 16_385, 40_000, 65_536, 70_000, 1_000_000,
    ] {
        let content: Vec<u8> = (0..length)
            .map(|i: u32| (i / 251 + i % 251) as u8)
            .collect();
        let name = format!("dir/{length}.txt");
        site.file(&name, content);
        // Long ago, so that the tags are strong at once.
        site.changed_at(&name, 1_577_836_800_000_000_123);
    }
    for number in 0..300 {
        site.file(format!("many/{number}"), "");
    }
    site
}

fn requests() -> Vec<String> {
    let lengths = [
        0, 1, 100, 16_000, 16_384, 16_385, 40_000, 65_536, 70_000, 1_000_000,
    ];
    let whole = lengths.map(|length| get(&format!("/dir/{length}.txt")));
    let ranges = [
        "0-0",
        "1-16384",
        "16383-16385",
        "-5",
        "0-1,16384-40000,5-70000",
        "9999999-",
    ];
    let parts = ranges.map(|range| {
        request(
            "GET",
            "/dir/1000000.txt",
            &[&format!("Range: bytes={range}")],
        )
    });
    let others = [
        get("/many/"),
        get("/many/?format=json"),
        get("/missing"),
        get("/dir"),
        request("HEAD", "/dir/1000000.txt", &[]),
        request("POST", "/", &["Content-Length: 3"]) + "abc",
        request("OPTIONS", "*", &[]),
    ];
    [&whole[..], &parts, &others].concat()
}

/// What has to be the same in both replies: all but the date and the boundary of parts, which is random.
fn comparable(mut reply: Reply) -> (u16, Vec<(String, String)>, Vec<u8>) {
    reply.head.fields.retain(|(name, _)| name != "Date");
    for (_, value) in &mut reply.head.fields {
        if let Some((kind, boundary)) = value.split_once("boundary=") {
            let length = boundary.len();
            while let Some(at) = find(&reply.body, boundary.as_bytes()) {
                reply.body.drain(at..at + length);
            }
            *value = kind.to_owned();
        }
    }
    (reply.head.status, reply.head.fields, reply.body)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut windows = bytes.windows(wanted.len());
    windows.position(|window| window == wanted)
}

fn is_head(request: &str) -> bool {
    request.starts_with("HEAD ")
}

/// Sends requests in records of these lengths, and reads the replies after pauses.
fn ask_slowly(mut client: TlsClient, requests: &[String], records: &[usize]) -> Vec<Reply> {
    set_socket_recv_buffer_size(client.tcp(), 1 << 14).unwrap();
    let whole = requests.concat();
    let mut rest = whole.as_bytes();
    for length in records.iter().cycle() {
        let (record, after) = rest.split_at((*length).min(rest.len()));
        client.send(record);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let mut replies = Vec::new();
    for (number, request) in requests.iter().enumerate() {
        if number % 4 == 0 {
            sleep(Duration::from_millis(3));
        }
        replies.push(client.reply(is_head(request)));
    }
    client.assert_open();
    replies
}

#[test]
fn replies_are_those_of_a_plain_connection() {
    let (site, all) = (site(), requests());
    let (plain, server) = (Server::start(&site), HttpsServer::start(&site));
    let lengths = prop_oneof![1..20_usize, 1000..16_384_usize];
    let strategy = (
        prop::collection::vec(0..all.len(), 1..40),
        prop::collection::vec(lengths, 1..10),
        any::<bool>(),
    );
    let config = ProptestConfig {
        cases: 32,
        max_shrink_iters: 30,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let outcome = TestRunner::new(config).run(&strategy, |(chosen, records, is_old)| {
        let requests: Vec<_> = chosen.iter().map(|index| all[*index].clone()).collect();
        let version = if is_old { &TLS12 } else { &TLS13 };
        let client = server.connect_with(server.authority.client_config(&[version]));
        let replies = ask_slowly(client, &requests, &records);
        let mut plain = plain.connect();
        for (request, reply) in requests.iter().zip(replies) {
            let expected = plain.send(request).reply(is_head(request));
            prop_assert!(comparable(reply) == comparable(expected), "{}", request);
        }
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn records_of_a_client_may_be_small() {
    let server = HttpsServer::start(&site());
    for length in [32, 33, 64, 1000] {
        let mut config = server.client_config();
        config.max_fragment_size = Some(length);
        let mut client = server.connect_with(config);
        let long = format!("X: {}", "x".repeat(20_000));
        for _ in 0..3 {
            let reply = client.ask(request("GET", "/dir/16385.txt", &[&long]));
            assert_eq!(reply.body.len(), 16_385);
        }
    }
}

#[test]
fn a_head_may_be_longer_than_a_record() {
    let server = HttpsServer::start(&site());
    let mut client = server.connect();
    let long = format!("X: {}", "x".repeat(30_000));
    let both = request("GET", "/dir/100.txt", &[&long]) + &get("/dir/1.txt");
    client.send(both.repeat(3));
    for _ in 0..3 {
        assert_eq!(client.read_reply().body.len(), 100);
        assert_eq!(client.read_reply().body.len(), 1);
    }
    client.assert_open();
}

#[test]
fn thousands_of_requests_at_once_are_all_answered() {
    let server = HttpsServer::start(&site());
    let mut client = server.connect();
    // The client does not read meanwhile, so the kernel's buffers fill in both directions.
    let mut sending = client.tcp().try_clone().unwrap();
    let connection = client.tls_mut();
    connection.set_buffer_limit(None);
    let whole = get("/dir/100.txt").repeat(5000);
    connection.writer().write_all(whole.as_bytes()).unwrap();
    let mut records = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut records).unwrap();
    }
    let thread = thread::spawn(move || sending.write_all(&records).unwrap());
    sleep(Duration::from_millis(100));
    for _ in 0..5000 {
        assert_eq!(client.read_reply().body.len(), 100);
    }
    thread.join().unwrap();
    client.assert_open();
}

#[test]
fn events_leave_at_once() {
    let site = Site::new();
    let server = HttpsServer::with(&site, &["--live"]);
    let mut client = server.connect();
    assert!(client.get("/page.html").text().contains("/.httpoll/live"));
    let mut events = server.connect();
    events.send(get("/.httpoll/live"));
    assert!(events.read_head().is_chunked());
    for number in 0..3 {
        site.file("page.html", format!("<p>changed {number}</p>"));
        while !events.take_line().contains("data: changed") {}
    }
}

#[test]
fn a_file_that_is_read_slowly_keeps_no_other_client_waiting() {
    let site = Site::new();
    let source = site.beside("source");
    std::fs::create_dir(&source).unwrap();
    let content: Vec<u8> = (0..300_000_u32).map(|i| (i >> 4) as u8).collect();
    std::fs::write(source.join("slow"), &content).unwrap();
    std::fs::write(site.beside("delays"), "read 0.3\n").unwrap();
    site.directory("mount");
    let Some(_mount) = Mount::slow(&source, &site.at("mount"), &site.beside("delays")) else {
        return;
    };
    let server = HttpsServer::start(&site);
    let (mut slow, mut other) = (server.connect(), server.connect());
    slow.send(get("/mount/slow"));
    let reading = thread::spawn(move || slow.read_reply());
    let mut answered = 0;
    while !reading.is_finished() {
        assert_eq!(other.get("/hello.txt").body, b"Hello, world!\n");
        answered += 1;
        sleep(Duration::from_millis(10));
    }
    assert!(reading.join().unwrap().body == content);
    // A loop that waits for the file answers no more than one request for each read.
    assert!(answered > 10, "{answered}");
}
