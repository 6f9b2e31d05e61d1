//! What a browser makes of a file: its media type, from its name and its first bytes, and how long a cache may keep it.

use std::fs::{self, File};

use rustix::fs::{Advice, fadvise};

use crate::support::{Reply, Server, Site, request};

const TEXT: &str = "text/plain; charset=utf-8";
const BINARY: &str = "application/octet-stream";

#[track_caller]
fn has_types(server: &Server, cases: &[(&str, &str)]) {
    // The second reply is the one that is kept.
    for _ in 0..2 {
        for (name, content_type) in cases {
            let reply = server.get(&format!("/{name}"));
            assert_eq!(reply.status(), 200, "{name}");
            assert_eq!(reply.field("Content-Type"), Some(*content_type), "{name}");
        }
    }
}

#[test]
fn known_suffixes_have_the_types_of_iana_and_nginx() {
    let cases = [
        ("a.rpm", "application/x-redhat-package-manager"),
        ("a.deb", "application/vnd.debian.binary-package"),
        ("a.tgz", "application/gzip"),
        ("a.zst", "application/zstd"),
        ("a.7z", "application/x-7z-compressed"),
        ("a.br", BINARY),
        ("a.iso", BINARY),
        ("a.woff", "font/woff"),
        ("a.woff2", "font/woff2"),
        ("a.otf", "font/otf"),
        ("a.ttf", "font/ttf"),
        ("a.m3u8", "application/vnd.apple.mpegurl"),
        ("a.mpd", "application/dash+xml"),
        ("a.m4a", "audio/mp4"),
        ("a.opus", "audio/ogg"),
        ("a.flac", "audio/flac"),
        ("a.avif", "image/avif"),
        ("a.jxl", "image/jxl"),
        ("a.heic", "image/heic"),
        ("a.glb", "model/gltf-binary"),
        ("a.gltf", "model/gltf+json"),
        ("a.geojson", "application/geo+json"),
        ("a.topojson", "application/json"),
        ("a.js.map", "application/json"),
        ("a.webmanifest", "application/manifest+json"),
        ("a.jsonld", "application/ld+json"),
        ("a.ipynb", "application/x-ipynb+json"),
        ("a.atom", "application/atom+xml"),
        ("a.rss", "application/rss+xml"),
        ("a.xml", "text/xml"),
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.cjs", "text/javascript; charset=utf-8"),
        ("a.md", "text/markdown; charset=utf-8"),
        ("a.csv", "text/csv; charset=utf-8"),
        ("a.tsv", "text/tab-separated-values; charset=utf-8"),
        ("a.vtt", "text/vtt; charset=utf-8"),
        ("a.ics", "text/calendar; charset=utf-8"),
        ("a.vcf", "text/vcard; charset=utf-8"),
        ("a.epub", "application/epub+zip"),
        ("a.apk", "application/vnd.android.package-archive"),
        ("a.parquet", "application/vnd.apache.parquet"),
    ];
    let site = Site::empty();
    for (name, _) in cases {
        site.file(name, "\0");
    }
    has_types(&Server::start(&site), &cases);
}

#[test]
fn source_code_and_notes_are_shown() {
    let names = [
        "a.go",
        "a.rs",
        "a.py",
        "a.sh",
        "a.sql",
        "a.java",
        "a.c",
        "a.h",
        "a.cpp",
        "a.tsx",
        "a.jsx",
        "a.vue",
        "a.svelte",
        "a.diff",
        "a.patch",
        "a.toml",
        "a.yaml",
        "a.yml",
        "a.log",
        "a.conf",
        "a.ini",
        "a.jsonl",
        "a.ndjson",
        "a.wgsl",
        "a.glsl",
        "Cargo.lock",
        "a.PY",
        "go.mod",
        "go.sum",
        "a.kt",
        "a.unheard-of",
        "README",
        "LICENSE",
        "LICENSE-MIT",
        "Makefile",
        "Dockerfile",
        "docs/CHANGES",
        "a.",
        "run~",
    ];
    let site = Site::empty();
    for name in names {
        site.file(name, "größer\n");
    }
    let cases = names.map(|name| (name, TEXT));
    has_types(&Server::start(&site), &cases);
}

#[test]
fn first_bytes_tell_text_from_other_content() {
    let long = |beginning: &[u8], size: usize| {
        let mut content = beginning.to_vec();
        content.resize(size, b'x');
        content
    };
    let (cut, late) = (["x".repeat(511), "é".to_owned()].concat(), "x".repeat(600));
    let cases: [(&str, Vec<u8>, &str); 16] = [
        ("empty", Vec::new(), TEXT),
        ("page-feed", b"a\tb\r\n\x0cc\n".to_vec(), TEXT),
        ("marked", b"\xef\xbb\xbfa\n".to_vec(), TEXT),
        (
            "html",
            b"<!DOCTYPE html><script>alert(1)</script>".to_vec(),
            TEXT,
        ),
        (
            "svg",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(),
            TEXT,
        ),
        ("cut-character", cut.into_bytes(), TEXT),
        ("late-nul", [late.as_bytes(), b"\0"].concat(), TEXT),
        ("of-64-KiB", long(b"", 64 * 1024), TEXT),
        ("of-100-KiB", long(b"", 100 * 1024), TEXT),
        ("nul", b"a\0b".to_vec(), BINARY),
        ("escape", b"\x1b[1mbold".to_vec(), BINARY),
        ("latin-1", b"gr\xf6\xdfer".to_vec(), BINARY),
        ("utf-16", b"\xff\xfea\0b\0".to_vec(), BINARY),
        ("unfinished", b"a\xc3".to_vec(), BINARY),
        ("program", long(b"\x7fELF\x02\x01\x01\0", 1000), BINARY),
        (
            "large-program",
            long(b"\x7fELF\x02\x01\x01\0", 1 << 20),
            BINARY,
        ),
    ];
    let site = Site::empty();
    for (name, content, _) in &cases {
        site.file(name, content);
    }
    let types = cases
        .each_ref()
        .map(|(name, _, media_type)| (*name, *media_type));
    // Without file threads the loop itself looks at the content.
    for options in [&[][..], &["--file-threads", "0"]] {
        has_types(&Server::with(&site, options), &types);
    }
}

/// Has the kernel read the file anew from its disk, if it is on one.
fn forget(site: &Site, name: &str) {
    let file = File::open(site.at(name)).unwrap();
    file.sync_all().unwrap();
    fadvise(&file, 0, None, Advice::DontNeed).unwrap();
}

#[test]
fn content_that_is_not_in_memory_is_looked_at_too() {
    let site = Site::empty();
    let names = ["small", "large", "large.ts"];
    for (name, size) in names.into_iter().zip([1000, 100_000, 100_000]) {
        site.file(name, vec![b'x'; size]);
    }
    for options in [&[][..], &["--file-threads", "0"]] {
        let server = Server::with(&site, options);
        for name in names {
            forget(&site, name);
            has_types(&server, &[(name, TEXT)]);
        }
    }
}

/// File threads look up what leads to /proc, and its length is not known.
#[test]
fn what_a_file_thread_has_found_is_looked_at_too() {
    let site = Site::empty();
    site.link("kernel", "/proc/sys/kernel/ostype")
        .link("numbers", "/proc/self/auxv");
    for options in [&[][..], &["--file-threads", "0"]] {
        let server = Server::with(&site, &[&["--follow-symlinks"], options].concat());
        has_types(&server, &[("kernel", TEXT), ("numbers", BINARY)]);
        let reply = server.get("/kernel");
        assert_eq!(
            (reply.text(), reply.field("Cache-Control")),
            ("Linux\n", Some("no-cache"))
        );
    }
}

#[test]
fn typescript_is_text_and_a_transport_stream_is_a_video() {
    let packets = |size| {
        let packet = [&[0x47, 0x40, 0, 0x10, 0][..], &[0xff; 183]].concat();
        packet.repeat(size)
    };
    let site = Site::empty();
    site.file("main.ts", "Global = 1 as number;\n")
        .file("module.mts", "export {};\n");
    site.file("short.ts", packets(1))
        .file("long.ts", packets(1000))
        .file("camera.MTS", packets(3));
    let cases = [
        ("main.ts", TEXT),
        ("module.mts", TEXT),
        ("short.ts", "video/mp2t"),
        ("long.ts", "video/mp2t"),
        ("camera.MTS", "video/mp2t"),
    ];
    has_types(&Server::start(&site), &cases);
}

#[test]
fn a_type_that_is_asked_for_wins() {
    let site = Site::empty();
    for name in ["README", "a.foo", "a.BAR", "a.ts", "a.unknown", "a.html"] {
        site.file(name, "text\n");
    }
    let server = Server::with(
        &site,
        &[
            "--content-type",
            BINARY,
            "--mime",
            ".foo=text/x-foo",
            "--mime=bar=a/b",
            "--mime",
            "html=text/plain",
        ],
    );
    let cases = [
        ("README", BINARY),
        ("a.unknown", BINARY),
        ("a.foo", "text/x-foo; charset=utf-8"),
        ("a.BAR", "a/b"),
        ("a.ts", TEXT),
        ("a.html", TEXT),
    ];
    has_types(&server, &cases);
    let config = site.beside("config");
    fs::write(
        &config,
        "mime .foo=application/octet-stream\nmime = bar = text/x-bar; charset=x\n",
    )
    .unwrap();
    let server = Server::with(&site, &["-c", config.to_str().unwrap()]);
    let cases = [
        ("a.foo", BINARY),
        ("a.BAR", "text/x-bar; charset=x"),
        ("README", TEXT),
    ];
    has_types(&server, &cases);
}

#[test]
fn a_single_file_and_an_index_page_are_looked_at_too() {
    let site = Site::empty();
    site.file("NOTES", "text\n");
    let server = Server::of_path(&site.at("NOTES"), &[]);
    has_types(&server, &[("", TEXT), ("NOTES", TEXT)]);
}

#[test]
fn a_file_that_changes_from_text_to_other_content_changes_its_type() {
    let site = Site::empty();
    let server = Server::start(&site.clone());
    for (content, media_type) in [("text", TEXT), ("\0", BINARY), ("", TEXT)] {
        site.file("changing", content);
        has_types(&server, &[("changing", media_type)]);
    }
}

#[test]
fn a_compressed_picture_is_sent_as_it_is_and_named_so() {
    let site = Site::empty();
    let content = [&b"\x1f\x8b\x08\0"[..], &[7; 100]].concat();
    site.file("a.svgz", &content);
    let server = Server::start(&site);
    let whole = server.get("/a.svgz");
    assert_eq!(whole.body, content);
    let part = server.ask(request("GET", "/a.svgz", &["Range: bytes=0-1"]));
    assert_eq!((part.status(), &*part.body), (206, &b"\x1f\x8b"[..]));
    for reply in [whole, part] {
        assert_eq!(reply.field("Content-Type"), Some("image/svg+xml"));
        assert_eq!(reply.field("Content-Encoding"), Some("gzip"));
    }
}

/// Replies of each kind that the static handler makes, with the status that each has.
fn replies(server: &Server) -> Vec<(u16, Reply)> {
    let ask = |status, target, field| (status, server.ask(request("GET", target, &[field])));
    let mut replies = Vec::new();
    for _ in 0..2 {
        replies.extend([
            ask(200, "/hello.txt", "Accept: */*"),
            ask(200, "/big", "Accept: */*"),
            ask(206, "/hello.txt", "Range: bytes=1-2"),
            ask(206, "/hello.txt", "Range: bytes=1-2,4-5"),
            ask(206, "/big", "Range: bytes=1-2"),
            ask(304, "/hello.txt", "If-None-Match: *"),
            ask(304, "/big", "If-None-Match: *"),
            ask(200, "/docs/", "Accept: text/html"),
            ask(200, "/", "Accept: text/html"),
            ask(200, "/", "Accept: application/json"),
            ask(200, "/many/", "Accept: text/html"),
            ask(404, "/missing", "Accept: text/html"),
            ask(404, "/missing", "Accept: text/plain"),
            ask(404, "/.hidden", "Accept: */*"),
            ask(301, "/docs", "Accept: */*"),
        ]);
    }
    replies
}

fn site() -> Site {
    let site = Site::new();
    site.file("big", vec![b'x'; 100_000]);
    for number in 0..2000 {
        site.file(format!("many/{number}"), "");
    }
    site
}

#[track_caller]
fn have_cache_control(replies: Vec<(u16, Reply)>, expected: &[&str]) {
    for (status, reply) in replies {
        assert_eq!(reply.status(), status);
        let all = reply
            .head
            .fields
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("cache-control"));
        let values: Vec<_> = all.map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, expected, "{status}: {:?}", reply.head);
    }
}

#[test]
fn browsers_ask_each_time_before_they_show_what_they_have() {
    let server = Server::start(&site());
    have_cache_control(replies(&server), &["no-cache"]);
}

#[test]
fn a_cache_control_of_the_command_line_is_the_only_one() {
    let server = Server::with(&site(), &["-H", "cache-control: max-age=60"]);
    have_cache_control(replies(&server), &["max-age=60"]);
}

/// Only with an explicit lifetime may a cache keep these (RFC 9111 §3), so they say nothing.
#[test]
fn errors_that_no_cache_keeps_have_no_cache_control() {
    let server = Server::with(&site(), &["--no-listing"]);
    let ask = |method, target, field| server.ask(request(method, target, &[field]));
    let replies = vec![
        (416, ask("GET", "/hello.txt", "Range: bytes=99-")),
        (412, ask("GET", "/hello.txt", "If-Match: \"no\"")),
        (403, ask("GET", "/many/", "Accept: */*")),
        (405, ask("POST", "/hello.txt", "Content-Length: 0")),
        (204, ask("OPTIONS", "/hello.txt", "Accept: */*")),
    ];
    have_cache_control(replies, &[]);
}
