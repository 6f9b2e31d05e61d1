//! Replies about files and directories: status, fields, tags and error pages.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Reply, Server, Site, get, request, unprivileged};

#[test]
fn a_file_has_type_length_date_and_tag() {
    let site = Site::new();
    site.changed_at("hello.txt", 1_577_836_800_000_000_123);
    let server = Server::start(&site);
    let reply = server.get("/hello.txt");
    assert_eq!((reply.status(), reply.head.reason.as_str()), (200, "OK"));
    assert_eq!(reply.body, b"Hello, world!\n");
    assert_eq!(
        reply.field("Content-Type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(reply.field("Content-Length"), Some("14"));
    assert_eq!(
        reply.field("Last-Modified"),
        Some("Wed, 01 Jan 2020 00:00:00 GMT")
    );
    assert_eq!(reply.field("Accept-Ranges"), Some("bytes"));
    let tag = reply.field("ETag").unwrap();
    assert!(
        tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"'),
        "{tag}"
    );
    assert!(reply.field("Server").unwrap().starts_with("httpoll/"));
}

#[test]
fn an_empty_file_has_length_0() {
    let reply = Server::start(&Site::new()).get("/empty.txt");
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.field("Content-Length"), Some("0"));
}

#[test]
fn the_suffix_decides_the_type() {
    let site = Site::empty();
    let cases = [
        ("a.html", "text/html; charset=utf-8"),
        ("a.HTM", "text/html; charset=utf-8"),
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.css", "text/css; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.md", "text/markdown; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.wasm", "application/wasm"),
        ("a.pdf", "application/pdf"),
        ("a.png", "image/png"),
        ("a.svg", "image/svg+xml"),
        ("a.mp4", "video/mp4"),
        ("a.tar.gz", "application/gzip"),
        ("a.woff2", "font/woff2"),
    ];
    for (name, _) in cases {
        site.file(name, name);
    }
    let server = Server::start(&site);
    for (name, content_type) in cases {
        let reply = server.get(&format!("/{name}"));
        assert_eq!(reply.field("Content-Type"), Some(content_type), "{name}");
    }
}

#[test]
fn files_around_buffer_sizes_arrive_whole() {
    let site = Site::empty();
    let sizes = [
        1,
        4095,
        4096,
        32767,
        32768,
        32769,
        65535,
        65536,
        65537,
        1 << 20,
        5_000_001,
    ];
    let content: Vec<u8> = (0..5_000_001_u32)
        .map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8)
        .collect();
    for size in sizes {
        site.file(size.to_string(), &content[..size]);
    }
    let server = Server::start(&site);
    let mut client = server.connect();
    for size in sizes {
        let body = client.get(&format!("/{size}")).body;
        assert!(
            body == content[..size],
            "{size} bytes: {} came, or others",
            body.len()
        );
    }
}

/// All fields but Date.
fn fields(reply: &Reply) -> Vec<(String, String)> {
    let fields = reply.head.fields.iter().cloned();
    fields.filter(|(name, _)| name != "Date").collect()
}

#[test]
fn head_is_get_without_the_body() {
    let site = Site::new();
    site.sparse("big", 10 << 20);
    for name in ["hello.txt", "empty.txt", "big", "docs/index.html"] {
        site.changed_at(name, 1_577_836_800_000_000_000);
    }
    let server = Server::start(&site);
    let not_modified = ["If-None-Match: *"];
    for (target, with, status) in [
        ("/hello.txt", &[][..], 200),
        ("/empty.txt", &[], 200),
        ("/big", &[], 200),
        ("/docs/", &[], 200),
        ("/", &[], 200),
        ("/?format=json", &[], 200),
        ("/dir", &[], 301),
        ("/hello.txt", &not_modified, 304),
        ("/hello.txt", &["If-Match: \"no\""], 412),
        ("/missing", &[], 404),
    ] {
        let mut client = server.connect();
        let of_get = client.ask(request("GET", target, with));
        let of_head = client.ask(request("HEAD", target, with));
        assert_eq!(
            (of_get.status(), of_head.status()),
            (status, status),
            "{target}"
        );
        assert_eq!(fields(&of_head), fields(&of_get), "{target}");
        client.assert_open();
    }
}

#[test]
fn an_index_page_is_served_for_its_directory() {
    let site = Site::new();
    site.file("htm/index.htm", "htm")
        .file("both/index.htm", "htm")
        .file("both/index.html", "html");
    site.directory("odd/index.html")
        .file("odd/index.htm", "not a directory");
    site.directory("none/index.html");
    let server = Server::start(&site);
    for (target, body) in [
        ("/htm/", "htm"),
        ("/both/", "html"),
        ("/odd/", "not a directory"),
    ] {
        let reply = server.get(target);
        assert_eq!(reply.text(), body);
        assert_eq!(
            reply.field("Content-Type"),
            Some("text/html; charset=utf-8")
        );
        assert!(reply.field("ETag").is_some());
    }
    assert!(
        server.get("/none/").text().contains("index.html"),
        "a listing"
    );
}

#[test]
fn a_directory_without_slash_is_redirected() {
    let site = Site::new();
    site.directory("a b/\u{e9}");
    let server = Server::start(&site);
    for (target, location) in [
        ("/dir", "dir/"),
        ("/docs?a=1&b=/x", "docs/?a=1&b=/x"),
        ("/docs?", "docs/?"),
        ("/docs#x", "docs/"),
        ("/a%20b/%C3%A9", "%C3%A9/"),
        ("/./dir/../dir", "dir/"),
    ] {
        let reply = server.get(target);
        assert_eq!(reply.status(), 301, "{target}");
        assert_eq!(reply.field("Location"), Some(location), "{target}");
        assert_eq!(reply.field("Content-Length"), Some("0"), "{target}");
    }
}

#[test]
fn a_path_below_a_file_is_404() {
    let server = Server::start(&Site::new());
    for target in [
        "/hello.txt/",
        "/hello.txt%2f",
        "/hello.txt/x",
        "/missing",
        "/missing/",
        "/dir/missing",
    ] {
        assert_eq!(server.get(target).status(), 404, "{target}");
    }
}

#[test]
fn unreadable_files_and_directories_are_403() {
    let site = Site::new();
    site.file("closed.txt", "closed")
        .file("cellar/file.txt", "")
        .file("blind/file.txt", "seen");
    let root = site.root();
    let options = ["0", "-b", "127.0.0.1", "-d", root.to_str().unwrap()];
    let Some(command) = unprivileged(&options) else {
        return;
    };
    for (name, mode) in [("closed.txt", 0), ("cellar", 0), ("blind", 0o111)] {
        fs::set_permissions(site.at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let server = Server::spawn(command);
    for target in ["/closed.txt", "/cellar/", "/cellar/file.txt", "/blind/"] {
        assert_eq!(server.get(target).status(), 403, "{target}");
    }
    assert_eq!(server.get("/blind/file.txt").body, b"seen");
}

#[test]
fn last_modified_is_never_in_the_future() {
    let site = Site::new();
    site.changed_at("hello.txt", 4_102_444_800_000_000_000);
    let server = Server::start(&site);
    let reply = server.get("/hello.txt");
    assert_eq!(reply.field("Last-Modified"), reply.field("Date"));
}

#[test]
fn a_rewritten_file_is_never_stale() {
    let site = Site::new();
    let server = Server::start(&site);
    let mut client = server.connect();
    for round in 0..50 {
        let content = format!("round {round}");
        site.file("changing.txt", &content);
        assert_eq!(client.get("/changing.txt").text(), content);
    }
    fs::rename(site.at("hello.txt"), site.at("changing.txt")).unwrap();
    assert_eq!(client.get("/changing.txt").text(), "Hello, world!\n");
    fs::remove_file(site.at("changing.txt")).unwrap();
    assert_eq!(client.get("/changing.txt").status(), 404);
    site.file("changing.txt/index.html", "now a directory");
    assert_eq!(client.get("/changing.txt/").text(), "now a directory");
}

#[test]
fn the_tag_of_a_large_file_changes_with_its_size_and_nanosecond() {
    let site = Site::new();
    let server = Server::start(&site);
    site.file("large", vec![b'a'; 100_000]);
    let mut tags: Vec<_> = (0..10)
        .map(|nanosecond| {
            site.changed_at("large", 1_577_836_800_000_000_000 + nanosecond);
            server.get("/large").field("ETag").unwrap().to_owned()
        })
        .collect();
    site.file("large", vec![b'a'; 99_999])
        .changed_at("large", 1_577_836_800_000_000_000);
    tags.push(server.get("/large").field("ETag").unwrap().to_owned());
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 11);
}

#[test]
fn the_tag_of_a_small_file_depends_only_on_its_content() {
    let site = Site::new();
    let server = Server::start(&site);
    let date = 1_577_836_800_000_000_000;
    let tag = |target: &str| server.get(target).field("ETag").unwrap().to_owned();
    for size in [0, 1, 10, 1000, 65_535, 65_536] {
        site.file("one", vec![b'a'; size]).changed_at("one", date);
        site.file("copy", vec![b'a'; size]);
        assert_eq!(tag("/one"), tag("/copy"), "{size}");
        let before = tag("/one");
        let mut other = vec![b'a'; size];
        if let Some(last) = other.last_mut() {
            *last = b'b';
            site.file("one", other).changed_at("one", date);
            assert_ne!(tag("/one"), before, "{size}");
        }
    }
    // The tag is the same on each machine and in each version.
    site.file("one", "Hello, world!\n");
    assert_eq!(tag("/one"), "\"c3082335d9e644a032c1b16a5ed98ffb\"");
}

#[test]
fn the_tag_is_the_same_after_a_restart() {
    let site = Site::new();
    site.changed_at("hello.txt", 1_577_836_800_000_000_000);
    let tags = [0, 1].map(|_| {
        let reply = Server::start(&site).get("/hello.txt");
        reply.field("ETag").unwrap().to_owned()
    });
    assert_eq!(tags[0], tags[1]);
}

#[test]
fn an_error_has_an_html_page() {
    let server = Server::start(&Site::new());
    let accept = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";
    for with in [&[accept][..], &["Accept: */*"], &[]] {
        let reply = server.ask(request("GET", "/missing", with));
        assert_eq!(
            (reply.status(), reply.head.reason.as_str()),
            (404, "Not Found")
        );
        let content_type = reply.field("Content-Type").unwrap();
        assert!(content_type.starts_with("text/html"), "{content_type}");
        let page = reply.text();
        assert!(page.starts_with("<!DOCTYPE html>") && !page.contains("<script"));
        for part in [
            "Error code: 404",
            "File not found",
            "Nothing matches the given URI",
        ] {
            assert!(page.contains(part), "{page}");
        }
    }
}

#[test]
fn an_error_is_plain_text_for_clients_that_refuse_html() {
    let server = Server::start(&Site::new());
    for accept in [
        "text/plain",
        "application/json",
        "image/png, */*;q=0",
        "text/html;q=0, */*",
    ] {
        let reply = server.ask(request("GET", "/missing", &[&format!("Accept: {accept}")]));
        assert_eq!(reply.field("Vary"), Some("Accept"));
        let content_type = reply.field("Content-Type").unwrap();
        assert!(
            content_type.starts_with("text/plain"),
            "{accept}: {content_type}"
        );
        assert!(!reply.text().contains('<'), "{accept}");
        for part in ["404", "File not found", "Nothing matches the given URI"] {
            assert!(reply.text().contains(part), "{accept}");
        }
    }
}

#[test]
fn request_text_is_escaped_in_error_pages() {
    let server = Server::start(&Site::new());
    let reply = server.ask("<b>&'\" / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(reply.status(), 400);
    assert!(!reply.text().contains("<b>"));
    let reply = server.ask(request("A&B'C", "/", &[]));
    assert_eq!(reply.status(), 501);
    assert!(!reply.text().contains("A&B"), "{}", reply.text());
    assert!(!server.ask(get("/<img>")).text().contains("<img>"));
}
