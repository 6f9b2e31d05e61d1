//! `--live`: the line in each HTML document.

mod compressed;
mod events;

use std::fs;
use std::thread::sleep;

use rustix::fs::{Advice, fadvise};

use crate::support::{Reply, SETTLED, Server, Site, request};

const LINE: &str = "<script src=\"/.httpoll/live.js\"></script>\n";
const HTML: &str = "Accept: text/html";

fn site() -> Site {
    let site = Site::empty();
    site.file("page.html", "<p>page</p>\n")
        .file("docs/index.html", "<p>index</p>")
        .file("style.css", "p {}")
        .file("data.json", "{}")
        .file("list/a.txt", "a");
    site
}

fn serve(site: &Site, options: &[&str]) -> Server {
    Server::with(site, &[&["--live"], options].concat())
}

/// Asks as the script does: when the page is loaded, and once more for the tag. After that the server watches what the page needs.
fn load(server: &Server, target: &str) -> Reply {
    let mut client = server.connect();
    for _ in 0..2 {
        client.ask(request("GET", target, &[HTML]));
    }
    client.ask(request("HEAD", target, &[HTML]));
    client.ask(request("GET", target, &[HTML]))
}

#[test]
fn html_has_the_line_once() {
    let site = site();
    site.file("upper.HTML", "<p>").file("empty.html", "");
    let server = serve(&site, &[]);
    for (target, file) in [
        ("/page.html", "page.html"),
        ("/docs/", "docs/index.html"),
        ("/upper.HTML", "upper.HTML"),
        ("/empty.html", "empty.html"),
    ] {
        let content = fs::read_to_string(site.at(file)).unwrap();
        let mut client = server.connect();
        for _ in 0..3 {
            let reply = client.ask(request("GET", target, &[HTML]));
            assert_eq!(reply.text(), format!("{content}{LINE}"), "{target}");
            let head = client.ask(request("HEAD", target, &[HTML]));
            for name in ["Content-Length", "ETag", "Last-Modified", "Content-Type"] {
                assert_eq!(head.field(name), reply.field(name), "{name} of {target}");
            }
            let known = format!("If-None-Match: {}", reply.field("ETag").unwrap());
            assert_eq!(client.ask(request("GET", target, &[&known])).status(), 304);
            let end = client.ask(request("GET", target, &["Range: bytes=-10"]));
            assert_eq!((end.status(), end.text()), (206, &LINE[LINE.len() - 10..]));
            sleep(SETTLED);
        }
        let plain = Server::start(&site).get(target);
        let live = server.get(target);
        assert_ne!(plain.field("ETag"), live.field("ETag"), "{target}");
    }
}

#[test]
fn other_files_are_as_without_the_option() {
    let site = site();
    site.file("large.css", "p {}\n".repeat(100_000))
        .file("text.txt", "<html>");
    let (server, plain) = (serve(&site, &[]), Server::start(&site));
    for target in [
        "/style.css",
        "/data.json",
        "/list/?format=json",
        "/text.txt",
        "/large.css",
    ] {
        for _ in 0..3 {
            let (live, plain) = (server.get(target), plain.get(target));
            assert_eq!(live.body, plain.body, "{target}");
            let content_type = "Content-Type";
            assert_eq!(live.field(content_type), plain.field(content_type));
        }
    }
}

/// Checks that a page which the server makes itself has the line once, with the tag of the page.
#[track_caller]
fn assert_line_with_tag(reply: &Reply) {
    let tag = reply.field("ETag").unwrap();
    let line = format!("<script src=\"/.httpoll/live.js\" data-tag='{tag}'></script>\n");
    assert_eq!(reply.text().matches(&line).count(), 1, "{line}");
    assert_eq!(reply.text().matches("live.js").count(), 1);
}

#[test]
fn pages_of_this_server_have_the_line_and_allow_it() {
    let site = site();
    for options in [&[][..], &["--file-threads", "0"]] {
        let server = serve(&site, options);
        for target in ["/list/", "/missing", "/missing/"] {
            let reply = load(&server, target);
            assert_line_with_tag(&reply);
            let policy = reply.field("Content-Security-Policy").unwrap();
            assert!(policy.contains("connect-src 'self'"), "{policy}");
            assert!(policy.contains("script-src 'self'"), "{policy}");
        }
        let json = server.ask(request("GET", "/missing", &["Accept: application/json"]));
        assert!(!String::from_utf8_lossy(&json.body).contains("live.js"));
    }
}

#[test]
fn large_pages_are_sent_unchanged() {
    let site = site();
    for size in [65_536, 65_537, 1 << 20, (1 << 20) + 1, 3 << 20] {
        site.file("big.html", "x".repeat(size));
        let has_line = size <= 1 << 20;
        for options in [&[][..], &["--file-threads", "0"]] {
            let server = serve(&site, options);
            for _ in 0..3 {
                let reply = server.get("/big.html");
                let expected = size + if has_line { LINE.len() } else { 0 };
                assert_eq!(reply.body.len(), expected);
                assert_eq!(reply.body.ends_with(LINE.as_bytes()), has_line);
            }
        }
    }
}

#[test]
fn a_page_that_is_not_in_memory_has_the_line() {
    let site = site();
    site.file("big.html", "x".repeat(200_000));
    for options in [&[][..], &["--file-threads", "0"]] {
        let server = serve(&site, options);
        for name in ["page.html", "big.html"] {
            let file = fs::File::open(site.at(name)).unwrap();
            file.sync_all().unwrap();
            fadvise(&file, 0, None, Advice::DontNeed).unwrap();
            let reply = server.get(&format!("/{name}"));
            assert!(reply.text().ends_with(LINE), "{name} {options:?}");
        }
    }
}

#[test]
fn a_media_type_of_a_rule_decides_about_the_line() {
    let site = site();
    site.file(
        "_headers",
        "/text.html\n  Content-Type: text/plain\n/page.tpl\n  Content-Type: text/html\n",
    )
    .file("text.html", "source")
    .file("page.tpl", "page");
    let server = serve(&site, &["--site"]);
    for _ in 0..2 {
        assert_eq!(server.get("/text.html").text(), "source");
        assert_eq!(server.get("/page.tpl").text(), format!("page{LINE}"));
    }
}

/// Two bytes are one character there, so the line would be read as other characters.
#[test]
fn a_page_in_utf_16_is_sent_unchanged() {
    let site = site();
    for (name, content) in [
        ("little.html", b"\xff\xfe<\0p\0>\0"),
        ("big.html", b"\xfe\xff\0<\0p\0>"),
    ] {
        site.file(name, content);
        let server = serve(&site, &[]);
        for _ in 0..2 {
            assert_eq!(server.get(&format!("/{name}")).body, content, "{name}");
        }
    }
}

#[test]
fn the_script_is_served() {
    let server = serve(&site(), &["--site", "--spa", "--compress"]);
    let reply = server.get("/.httpoll/live.js");
    assert_eq!(reply.status(), 200);
    let media_type = reply.field("Content-Type").unwrap();
    assert!(media_type.starts_with("text/javascript"));
    assert!(reply.text().contains("EventSource"));
    let head = server.ask(request("HEAD", "/.httpoll/live.js", &[]));
    assert_eq!(head.head.content_length(), Some(reply.body.len() as u64));
    let mut client = server.connect();
    let head = client.ask(request("HEAD", "/.httpoll/live", &[]));
    assert_eq!(head.status(), 200);
    client.assert_open();
    for target in ["/.httpoll/", "/.httpoll/other", "/.httpoll"] {
        let reply = server.ask(request("GET", target, &["Accept: image/png"]));
        assert_eq!(reply.status(), 404, "{target}");
    }
    let without = Server::start(&site());
    for target in ["/.httpoll/live.js", "/.httpoll/live"] {
        assert_eq!(without.get(target).status(), 404);
    }
}
