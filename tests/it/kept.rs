//! Replies that the server keeps in memory: none is older than its request.

use std::fs;
use std::thread;

use crate::support::{Client, SETTLED, Server, Site};

const LARGE: usize = 200_000;

/// A server, and a client that has read `name` often enough for the server to keep it.
fn start_and_keep(site: &Site, name: &str) -> (Server, Client) {
    thread::sleep(SETTLED);
    let server = Server::start(site);
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(client.get(name).status(), 200);
    }
    (server, client)
}

#[test]
fn a_rewrite_of_the_same_size_shows_at_once() {
    let site = Site::empty();
    for size in [10, LARGE] {
        site.file("file.txt", vec![b'a'; size]);
        let (_server, mut client) = start_and_keep(&site, "/file.txt");
        for byte in b"bcdefgh" {
            let content = vec![*byte; size];
            site.file("file.txt", &content);
            for _ in 0..3 {
                assert!(client.get("/file.txt").body == content, "{byte} {size}");
            }
        }
    }
}

#[test]
fn index_pages_come_and_go() {
    let site = Site::empty();
    site.file("index.htm", "second");
    let (_server, mut client) = start_and_keep(&site, "/");
    site.file("index.html", "first");
    thread::sleep(SETTLED);
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "first");
    }
    fs::remove_file(site.at("index.html")).unwrap();
    assert_eq!(client.get("/").text(), "second");
    fs::remove_file(site.at("index.htm")).unwrap();
    assert!(client.get("/").text().contains("Directory listing"));
}

#[test]
fn a_cached_reply_equals_a_fresh_reply() {
    let site = Site::empty();
    site.file("file.txt", "content")
        .changed_at("file.txt", 1_577_836_800_000_000_123);
    let (server, mut client) = start_and_keep(&site, "/file.txt");
    let kept = client.get("/file.txt");
    let fresh = Server::start(&site).get("/file.txt");
    for field in [
        "Content-Type",
        "Content-Length",
        "Last-Modified",
        "ETag",
        "Accept-Ranges",
    ] {
        assert_eq!(kept.field(field), fresh.field(field), "{field}");
    }
    let tag = kept.field("ETag").unwrap().to_owned();
    let mut with = |fields: &str| {
        let request = format!("GET /file.txt HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n");
        client.ask(request)
    };
    assert_eq!(with(&format!("If-None-Match: {tag}")).status(), 304);
    assert_eq!(with("If-Match: \"other\"").status(), 412);
    assert_eq!(with("Range: bytes=0-2").body, b"con");
    let last = with("Connection: close");
    assert_eq!(
        (last.status(), last.field("Connection")),
        (200, Some("close"))
    );
    drop(server);
}

#[test]
fn an_index_page_appears_behind_a_broken_link() {
    let site = Site::empty();
    site.file("docs/index.htm", "second")
        .link("docs/index.html", "../shared.html");
    let server = Server::start(&site);
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/docs/").text(), "second");
    }
    site.file("shared.html", "first");
    assert_eq!(client.get("/docs/").text(), "first");
}
