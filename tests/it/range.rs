//! Parts of files: Range, If-Range, 206 and 416 (RFC 9110 §14).

use crate::support::{Reply, Server, Site, request};

/// A hundred bytes, all different.
fn content() -> Vec<u8> {
    (0..100).collect()
}

fn server() -> (Site, Server) {
    let site = Site::new();
    site.file("hundred.bin", content())
        .changed_at("hundred.bin", 1_577_836_800_000_000_000);
    let server = Server::start(&site);
    (site, server)
}

fn ranged(server: &Server, range: &str) -> Reply {
    server.ask(request(
        "GET",
        "/hundred.bin",
        &[&format!("Range: {range}")],
    ))
}

#[track_caller]
fn assert_part(reply: &Reply, first: usize, last: usize) {
    assert_eq!(
        (reply.status(), reply.head.reason.as_str()),
        (206, "Partial Content")
    );
    let content_range = format!("bytes {first}-{last}/100");
    assert_eq!(reply.field("Content-Range"), Some(content_range.as_str()));
    assert_eq!(reply.body, &content()[first..=last]);
}

#[track_caller]
fn assert_whole(reply: &Reply) {
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.field("Content-Range"), None);
    assert_eq!(reply.body, content());
}

#[test]
fn a_single_range_is_206() {
    let (_site, server) = server();
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=2-5", 2, 5),
        ("bytes=0-", 0, 99),
        ("bytes=99-", 99, 99),
        ("bytes=90-1000", 90, 99),
        ("bytes=-1", 99, 99),
        ("bytes=-30", 70, 99),
        ("bytes=-100", 0, 99),
        ("bytes=-1000", 0, 99),
        ("BYTES=2-5", 2, 5),
        ("bytes=2-99999999999999999999999999", 2, 99),
        ("bytes=-99999999999999999999999999", 0, 99),
        ("bytes=10-18446744073709551615", 10, 99),
        ("bytes=10-18446744073709551616", 10, 99),
        ("bytes=3-4,100-", 3, 4),
        ("bytes=0-5,3-9", 0, 9),
        ("bytes=-10,95-", 90, 99),
    ] {
        assert_part(&ranged(&server, range), first, last);
    }
}

#[test]
fn a_part_has_the_fields_of_the_whole_file() {
    let (_site, server) = server();
    let whole = server.get("/hundred.bin");
    let part = ranged(&server, "bytes=5-9");
    for name in ["ETag", "Last-Modified", "Accept-Ranges", "Content-Type"] {
        assert_eq!(part.field(name), whole.field(name), "{name}");
        assert!(part.field(name).is_some(), "{name}");
    }
    assert_eq!(part.field("Content-Length"), Some("5"));
}

#[test]
fn a_range_beyond_the_end_is_416_with_the_length() {
    let (_site, server) = server();
    let mut client = server.connect();
    for range in [
        "100-",
        "100-200",
        "99999999999999999999999999-",
        "18446744073709551616-",
        "-0",
        "100-,-0",
    ] {
        let field = format!("Range: bytes={range}");
        let reply = client.ask(request("GET", "/hundred.bin", &[&field]));
        assert_eq!(reply.status(), 416, "{range}");
        assert_eq!(reply.field("Content-Range"), Some("bytes */100"), "{range}");
    }
    for range in ["5-", "1-1048575", "-0", "5-,-0"] {
        let field = format!("Range: bytes={range}");
        let reply = client.ask(request("GET", "/empty.txt", &[&field]));
        assert_eq!(reply.status(), 416, "{range}");
        assert_eq!(reply.field("Content-Range"), Some("bytes */0"), "{range}");
    }
}

/// nginx's slice module does this: it asks for the first megabyte of a file before it knows the size.
#[test]
fn a_range_from_the_start_of_an_empty_file_is_200() {
    let (_site, server) = server();
    let mut client = server.connect();
    for range in ["0-", "0-0", "0-1048575", "-1", "5-,0-", "-0,-1"] {
        let field = format!("Range: bytes={range}");
        let reply = client.ask(request("GET", "/empty.txt", &[&field]));
        assert_eq!(reply.status(), 200, "{range}");
        assert_eq!(reply.field("Content-Range"), None, "{range}");
        assert_eq!(reply.field("Content-Length"), Some("0"), "{range}");
    }
}

#[test]
fn a_malformed_range_is_ignored() {
    let (_site, server) = server();
    for range in [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=5",
        "bytes=-",
        "bytes=5-2",
        "bytes=--1",
        "bytes=+1-2",
        "bytes=0x1-0x2",
        "bytes=1-2-3",
        "bytes=1 - 2",
        "bytes=a-b",
        "bytes 0-1",
        "bytes=0-1,junk",
        "bytes=0-1;2-3",
        "lines=0-1",
        "0-1",
    ] {
        let reply = ranged(&server, range);
        assert_eq!(reply.status(), 200, "{range}");
        assert_whole(&reply);
    }
    let twice = ["Range: bytes=0-0", "Range: bytes=5-5"];
    assert_whole(&server.ask(request("GET", "/hundred.bin", &twice)));
}

/// One part of a multipart reply.
#[derive(Debug, PartialEq)]
struct Part {
    content_type: String,
    content_range: String,
    content: Vec<u8>,
}

/// Parses a `multipart/byteranges` body (RFC 2046 §5.1.1).
fn parts(reply: &Reply) -> Vec<Part> {
    let content_type = reply.field("Content-Type").unwrap();
    let boundary = content_type
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let body: String = reply.body.iter().map(|byte| char::from(*byte)).collect();
    // zsync skips a line before the first boundary, because nginx and Apache send an empty one.
    assert!(body.starts_with("\r\n--"));
    let body = body
        .strip_suffix("--\r\n")
        .or(body.strip_suffix("--"))
        .unwrap();
    let mut pieces: Vec<_> = body
        .split(&format!("\r\n--{}", boundary.trim_matches('"')))
        .collect();
    assert_eq!((pieces.remove(0), pieces.pop()), ("", Some("")));
    pieces.into_iter().map(part).collect()
}

fn part(piece: &str) -> Part {
    let (head, content) = piece.split_once("\r\n\r\n").unwrap();
    let field = |name: &str| {
        let mut lines = head
            .split("\r\n")
            .filter_map(|line| line.strip_prefix(name));
        lines.next().unwrap().trim().to_owned()
    };
    Part {
        content_type: field("Content-Type:"),
        content_range: field("Content-Range:"),
        content: content.chars().map(|c| c as u8).collect(),
    }
}

#[test]
fn several_ranges_are_multipart() {
    let (_site, server) = server();
    for (range, expected) in [
        ("bytes=0-0,-1", &[(0, 0), (99, 99)][..]),
        ("bytes=0-9, 20-29 ,\t40-49", &[(0, 9), (20, 29), (40, 49)]),
        ("bytes=50-59,0-9", &[(50, 59), (0, 9)]),
        ("bytes=0-1,100-,98-", &[(0, 1), (98, 99)]),
        ("bytes=0-5,50-59,3-9", &[(0, 9), (50, 59)]),
    ] {
        let reply = ranged(&server, range);
        assert_eq!(reply.status(), 206, "{range}");
        assert_eq!(reply.field("Content-Range"), None, "{range}");
        assert!(reply.field("ETag").is_some() && reply.field("Content-Length").is_some());
        let expected = expected.iter().map(|&(first, last)| Part {
            content_type: "application/octet-stream".to_owned(),
            content_range: format!("bytes {first}-{last}/100"),
            content: content()[first..=last].to_vec(),
        });
        assert_eq!(parts(&reply), expected.collect::<Vec<_>>(), "{range}");
    }
}

/// The requests ask for every other block, as zsync (20 ranges a request), zchunk and `curl -r` (255) do.
#[test]
fn up_to_256_disjoint_ranges_are_multipart() {
    const BLOCK: usize = 2048;
    let site = Site::new();
    let content: Vec<u8> = (0..600 * BLOCK).map(|i| (i / 7 % 251) as u8).collect();
    site.file("blocks.bin", &content);
    let server = Server::start(&site);
    let mut client = server.connect();
    let mut ask = |count: usize| {
        let block = |i: usize| (2 * i * BLOCK, 2 * i * BLOCK + BLOCK - 1);
        let blocks: Vec<_> = (0..count).map(block).collect();
        let ranges: Vec<_> = blocks.iter().map(|(a, b)| format!("{a}-{b}")).collect();
        let field = format!("Range: bytes={}", ranges.join(","));
        (blocks, client.ask(request("GET", "/blocks.bin", &[&field])))
    };
    for count in [20, 255, 256] {
        let (blocks, reply) = ask(count);
        assert_eq!(reply.status(), 206, "{count} ranges");
        let expected = blocks.iter().map(|&(first, last)| Part {
            content_type: "application/octet-stream".to_owned(),
            content_range: format!("bytes {first}-{last}/{}", content.len()),
            content: content[first..=last].to_vec(),
        });
        assert!(
            parts(&reply) == expected.collect::<Vec<_>>(),
            "{count} ranges: wrong parts"
        );
    }
    let (_, reply) = ask(257);
    assert_eq!(reply.status(), 200);
    assert!(reply.body == content);
}

#[test]
fn overlapping_ranges_count_as_one() {
    let (_site, server) = server();
    let nested: Vec<_> = (0..300)
        .map(|i| format!("{}-{}", i % 50, 99 - i % 50))
        .collect();
    assert_part(
        &ranged(&server, &format!("bytes={}", nested.join(","))),
        0,
        99,
    );
}

#[test]
fn the_connection_stays_open_after_parts() {
    let (_site, server) = server();
    let mut client = server.connect();
    for range in ["bytes=0-0,50-60", "bytes=5-9", "bytes=200-"] {
        client.ask(request(
            "GET",
            "/hundred.bin",
            &[&format!("Range: {range}")],
        ));
        client.assert_open();
    }
}

#[test]
fn if_range_compares_exactly() {
    let (_site, server) = server();
    let tag = server.get("/hundred.bin").field("ETag").unwrap().to_owned();
    for (if_range, holds) in [
        (tag.as_str(), true),
        (&format!("W/{tag}"), false),
        ("\"stale\"", false),
        ("*", false),
        ("Wed, 01 Jan 2020 00:00:00 GMT", true),
        ("Wed, 01 Jan 2020 00:00:01 GMT", false),
        ("Tue, 31 Dec 2019 23:59:59 GMT", false),
        ("nonsense", false),
    ] {
        let field = format!("If-Range: {if_range}");
        let reply = server.ask(request(
            "GET",
            "/hundred.bin",
            &["Range: bytes=5-9", &field],
        ));
        if holds {
            assert_part(&reply, 5, 9);
        } else {
            assert_whole(&reply);
        }
        let beyond = server.ask(request(
            "GET",
            "/hundred.bin",
            &["Range: bytes=100-", &field],
        ));
        assert_eq!(beyond.status(), if holds { 416 } else { 200 }, "{if_range}");
    }
    let alone = server.ask(request("GET", "/hundred.bin", &["If-Range: \"stale\""]));
    assert_whole(&alone);
}

#[test]
fn head_ignores_range() {
    let (_site, server) = server();
    for range in ["bytes=0-0", "bytes=200-", "bytes=0-0,5-5"] {
        let reply = server.ask(request(
            "HEAD",
            "/hundred.bin",
            &[&format!("Range: {range}")],
        ));
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.field("Content-Length"), Some("100"));
        assert_eq!(reply.field("Content-Range"), None);
    }
}

#[test]
fn only_files_have_ranges() {
    let (_site, server) = server();
    for (target, status) in [
        ("/", 200),
        ("/dir", 301),
        ("/missing", 404),
        ("/docs/", 206),
    ] {
        let reply = server.ask(request("GET", target, &["Range: bytes=0-2"]));
        assert_eq!(reply.status(), status, "{target}");
    }
}
