//! Files beyond four gigabytes, and files that change while they are sent.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;

use crate::support::{Server, Site, get, request};

const FIVE_GIB: u64 = 5 << 30;
const FOUR_GIB: u64 = 4 << 30;
const LARGE: u64 = 64 << 20;

fn zeros(length: u64) -> Vec<u8> {
    vec![0; length as usize]
}

/// A sparse file of 5 GiB with marks at its end and around 4 GiB.
fn site() -> Site {
    let site = Site::in_memory();
    let file = site.sparse("huge", FIVE_GIB);
    file.write_all_at(b"before|after", FOUR_GIB - 7).unwrap();
    file.write_all_at(b"the end", FIVE_GIB - 7).unwrap();
    site
}

#[test]
fn content_length_is_right_beyond_four_gibibytes() {
    let site = site();
    let server = Server::start(&site);
    let reply = server.ask(request("HEAD", "/huge", &[]));
    assert_eq!(reply.head.content_length(), Some(FIVE_GIB));
    let head = server.connect().send(get("/huge")).read_head();
    assert_eq!(head.content_length(), Some(FIVE_GIB));
}

#[test]
fn ranges_reach_beyond_four_gibibytes() {
    let site = site();
    let server = Server::start(&site);
    for (range, content_range, body) in [
        ("-7", "5368709113-5368709119", "the end"),
        ("5368709116-", "5368709116-5368709119", " end"),
        (
            "4294967289-4294967300",
            "4294967289-4294967300",
            "before|after",
        ),
        ("4294967296-4294967300", "4294967296-4294967300", "after"),
    ] {
        let reply = server.ask(request("GET", "/huge", &[&format!("Range: bytes={range}")]));
        assert_eq!(reply.status(), 206);
        let content_range = format!("bytes {content_range}/{FIVE_GIB}");
        assert_eq!(reply.field("Content-Range"), Some(content_range.as_str()));
        assert_eq!(reply.text(), body);
    }
    let parts = server.ask(request(
        "GET",
        "/huge",
        &["Range: bytes=-7,4294967289-4294967294"],
    ));
    assert!(parts.body.windows(7).any(|window| window == b"the end"));
    assert!(parts.body.windows(6).any(|window| window == b"before"));
}

#[test]
fn a_long_range_crosses_four_gibibytes() {
    let site = site();
    let server = Server::start(&site);
    let (first, last) = (FOUR_GIB - LARGE / 2, FOUR_GIB + LARGE / 2 - 1);
    let range = format!("Range: bytes={first}-{last}");
    let body = server.ask(request("GET", "/huge", &[&range])).body;
    let mut expected = zeros(LARGE);
    let mark = (LARGE / 2) as usize;
    expected[mark - 7..mark + 5].copy_from_slice(b"before|after");
    assert!(body == expected, "{} bytes, or others", body.len());
}

#[test]
fn a_file_of_five_gibibytes_arrives_whole() {
    let site = site();
    let server = Server::start(&site);
    let mut client = server.connect();
    client
        .send(request("GET", "/huge", &["Connection: close"]))
        .read_head();
    assert_eq!(client.count_to_end(), FIVE_GIB);
    assert!(server.log_lines(1)[0].ends_with(&format!(" 200 {FIVE_GIB}")));
}

#[test]
fn a_growing_file_is_sent_at_its_announced_length() {
    let site = Site::new();
    site.sparse("growing", LARGE);
    let server = Server::start(&site);
    let mut client = server.connect();
    let head = client.send(get("/growing")).read_head();
    assert_eq!(head.content_length(), Some(LARGE));
    let mut file = File::options()
        .append(true)
        .open(site.at("growing"))
        .unwrap();
    file.write_all(&[b'x'; 100_000]).unwrap();
    let body = client.take(LARGE as usize);
    assert!(body == zeros(LARGE));
    client.assert_open();
}

#[test]
fn a_shrinking_file_ends_only_its_connection() {
    let site = Site::new();
    let file = site.sparse("shrinking", LARGE);
    site.sparse("steady", LARGE);
    let server = Server::start(&site);
    let (mut client, mut other) = (server.connect(), server.connect());
    other.send(get("/steady")).read_head();
    client
        .send(get("/shrinking") + &get("/hello.txt"))
        .read_head();
    file.set_len(1000).unwrap();
    assert!(client.count_to_end() < LARGE);
    assert_eq!(other.take(LARGE as usize).len() as u64, LARGE);
    other.assert_open();
}

#[test]
fn a_replaced_file_is_sent_to_its_end() {
    let site = Site::new();
    site.sparse("replaced", LARGE);
    let server = Server::start(&site);
    let mut client = server.connect();
    client.send(get("/replaced")).read_head();
    site.file("new", "new");
    fs::rename(site.at("new"), site.at("replaced")).unwrap();
    assert!(client.take(LARGE as usize) == zeros(LARGE));
    assert_eq!(client.get("/replaced").body, b"new");
}
