//! Content that is compressed once, by a file thread, for later requests.
#![cfg(feature = "compress")]

use std::fs;
use std::io::Read;
use std::thread::sleep;

use flate2::read::GzDecoder;

use super::{BROWSER, GZIP, ask, coding, serve, text};
use crate::support::{Client, Reply, SETTLED, Server, Site, request, wait_until};

const ZSTD: &str = "Accept-Encoding: zstd";

fn decode(reply: &Reply) -> Vec<u8> {
    let mut decoded = Vec::new();
    match coding(reply) {
        Some("gzip") => {
            GzDecoder::new(&*reply.body)
                .read_to_end(&mut decoded)
                .unwrap();
        }
        Some("zstd") => decoded = zstd::stream::decode_all(&*reply.body).unwrap(),
        other => panic!("the coding {other:?}"),
    }
    decoded
}

/// Asks with `field` until the reply is in `expected`.
#[track_caller]
fn ask_until_coded(client: &mut Client, target: &str, field: &str, expected: &str) -> Reply {
    let mut last = None;
    wait_until("the content is compressed", || {
        let reply = client.ask(request("GET", target, &[field]));
        let is_coded = coding(&reply) == Some(expected);
        last = Some(reply);
        is_coded
    });
    last.unwrap()
}

/// Asks several times, with time for a thread between, and asserts that the content is never coded.
#[track_caller]
fn assert_never_coded(server: &Server, target: &str) {
    let mut client = server.connect();
    for _ in 0..4 {
        let reply = client.ask(request("GET", target, &[BROWSER]));
        assert_eq!(coding(&reply), None, "{target}");
        sleep(SETTLED);
    }
}

#[test]
fn text_is_compressed_for_later_requests() {
    let site = Site::empty();
    let sizes = [1024, 5000, 65_536, 65_537, 500_000, 1 << 20];
    for size in sizes {
        site.file(format!("{size}.txt"), text(size));
    }
    let server = serve(&site, &[]);
    sleep(SETTLED);
    for size in sizes {
        let target = format!("/{size}.txt");
        for (field, expected) in [(GZIP, "gzip"), (ZSTD, "zstd"), (BROWSER, "zstd")] {
            let mut client = server.connect();
            let first = client.ask(request("GET", &target, &[field]));
            assert_eq!(first.field("Vary"), Some("Accept-Encoding"), "{target}");
            if field != BROWSER {
                assert_eq!(coding(&first), None, "the first client waits for {target}");
                assert_eq!(first.body, text(size).as_bytes());
            }
            let coded = ask_until_coded(&mut client, &target, field, expected);
            assert_eq!(decode(&coded), text(size).as_bytes(), "{target} {expected}");
            assert!(coded.body.len() < size);
            let head = client.ask(request("HEAD", &target, &[field]));
            for name in [
                "ETag",
                "Content-Length",
                "Content-Encoding",
                "Vary",
                "Content-Type",
            ] {
                assert_eq!(head.field(name), coded.field(name), "{name} of {target}");
            }
            let known = format!("If-None-Match: {}", coded.field("ETag").unwrap());
            let reply = client.ask(request("GET", &target, &[field, &known]));
            assert_eq!(reply.status(), 304);
            assert_eq!(reply.field("Vary"), Some("Accept-Encoding"));
            let part = client.ask(request("GET", &target, &[field, "Range: bytes=10-19"]));
            assert_eq!((part.status(), &part.body[..]), (206, &coded.body[10..20]));
            assert_eq!(coding(&part), Some(expected));
            let plain = client.ask(request("GET", &target, &[]));
            assert_eq!(
                (coding(&plain), &*plain.body),
                (None, text(size).as_bytes())
            );
            assert_ne!(plain.field("ETag"), coded.field("ETag"));
        }
    }
}

#[test]
fn what_does_not_become_smaller_or_is_no_text_is_not_compressed() {
    let site = Site::empty();
    site.file("small.txt", text(1023))
        .file("huge.txt", text((1 << 20) + 1))
        .file("image.png", text(5000))
        .file("drawing.svgz", text(5000))
        .file("archive.tar.gz", text(5000))
        .file("film.mp4", text(5000));
    let mut random = vec![0; 5000];
    fs::File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut random)
        .unwrap();
    site.file("random.css", &random);
    let server = serve(&site, &[]);
    for name in [
        "small.txt",
        "huge.txt",
        "image.png",
        "archive.tar.gz",
        "film.mp4",
        "random.css",
    ] {
        assert_never_coded(&server, &format!("/{name}"));
    }
    let reply = ask(&server, "GET", "/drawing.svgz", &[BROWSER]);
    assert_eq!(coding(&reply), Some("gzip"));
    assert_eq!(reply.body, text(5000).as_bytes());
    let threadless = serve(&site, &["--file-threads", "0"]);
    site.file("page.txt", text(5000));
    assert_never_coded(&threadless, "/page.txt");
}

#[test]
fn a_change_is_seen_in_each_coding() {
    let site = Site::empty();
    let server = serve(&site, &[]);
    let mut client = server.connect();
    for size in [3000, 4000, 200_000, 100_000, 2000] {
        site.file("a.txt", text(size));
        for field in [GZIP, ZSTD, BROWSER, "X: none"] {
            let reply = client.ask(request("GET", "/a.txt", &[field]));
            let body = match coding(&reply) {
                None => reply.body,
                Some(_) => decode(&reply),
            };
            assert_eq!(body, text(size).as_bytes(), "{size} {field}");
        }
        sleep(SETTLED);
        for (field, expected) in [(GZIP, "gzip"), (ZSTD, "zstd")] {
            let coded = ask_until_coded(&mut client, "/a.txt", field, expected);
            assert_eq!(decode(&coded), text(size).as_bytes());
        }
    }
}

/// Each request comes after a change, so its reply must have the new content, however it is coded.
#[test]
fn changes_while_content_is_compressed_never_show_old_content() {
    let site = Site::in_memory();
    site.file("a.txt", text(400_000));
    let server = serve(&site, &[]);
    let mut client = server.connect();
    for number in 0..150 {
        let content = format!("version {number}\n{}", text(300_000 + 100 * number));
        if number % 2 == 0 {
            site.file("a.txt", &content);
        } else {
            site.file("new", &content);
            fs::rename(site.at("new"), site.at("a.txt")).unwrap();
        }
        if number % 10 == 0 {
            sleep(SETTLED);
        }
        for field in [GZIP, ZSTD, BROWSER] {
            let reply = client.ask(request("GET", "/a.txt", &[field]));
            let body = match coding(&reply) {
                None => reply.body,
                Some(_) => decode(&reply),
            };
            assert!(body == content.as_bytes(), "version {number}");
            sleep(std::time::Duration::from_millis(number as u64 % 7));
        }
    }
}

#[test]
fn listings_are_compressed() {
    let site = Site::empty();
    for number in 0..100 {
        site.file(format!("dir/file-{number}.txt"), "x");
    }
    let server = serve(&site, &[]);
    sleep(SETTLED);
    let mut client = server.connect();
    for target in ["/dir/", "/dir/?format=json"] {
        let first = client.ask(request("GET", target, &[GZIP]));
        assert_eq!(coding(&first), None);
        for (field, expected) in [(GZIP, "gzip"), (ZSTD, "zstd")] {
            let coded = ask_until_coded(&mut client, target, field, expected);
            let plain = client.ask(request("GET", target, &[]));
            assert_eq!(decode(&coded), plain.body, "{target}");
            assert_eq!(coded.field("Content-Type"), plain.field("Content-Type"));
            for reply in [&first, &coded, &plain] {
                assert!(reply.head.all("Vary").contains(&"Accept-Encoding"));
            }
            let csp = "Content-Security-Policy";
            assert_eq!(coded.field(csp), plain.field(csp));
            let head = client.ask(request("HEAD", target, &[field]));
            assert_eq!(head.head.content_length(), Some(coded.body.len() as u64));
            assert_eq!(coding(&head), Some(expected));
        }
    }
    site.file("dir/appears.txt", "x");
    let reply = client.ask(request("GET", "/dir/", &[GZIP]));
    assert_eq!(coding(&reply), None);
    assert!(reply.text().contains("appears.txt"));
}

#[test]
fn a_404_page_of_a_site_is_compressed() {
    let site = Site::empty();
    site.file("404.html", text(5000));
    let server = serve(&site, &["--site"]);
    sleep(SETTLED);
    let mut client = server.connect();
    let coded = ask_until_coded(&mut client, "/missing", GZIP, "gzip");
    assert_eq!(
        (coded.status(), decode(&coded)),
        (404, text(5000).into_bytes())
    );
    let part = client.ask(request("GET", "/missing", &[GZIP, "Range: bytes=0-0"]));
    assert_eq!((part.status(), part.body.len()), (404, coded.body.len()));
    let own = ask_until_coded(&mut client, "/404.html", GZIP, "gzip");
    assert_eq!(own.status(), 200);
    assert_eq!(own.body, coded.body);
}

#[test]
fn the_type_of_a_rule_decides_what_is_compressed() {
    let site = Site::empty();
    site.file(
        "_headers",
        "/text.bin\n  Content-Type: text/plain\n/image.txt\n  Content-Type: image/png\n",
    )
    .file("text.bin", text(5000).into_bytes())
    .file("image.txt", text(5000));
    let server = serve(&site, &["--site"]);
    assert_never_coded(&server, "/image.txt");
    let coded = ask_until_coded(&mut server.connect(), "/text.bin", GZIP, "gzip");
    assert_eq!(decode(&coded), text(5000).as_bytes());
}

#[test]
fn many_files_at_once_are_all_compressed_in_the_end() {
    let site = Site::empty();
    for number in 0..200 {
        site.file(format!("{number}.txt"), text(3000 + number));
    }
    let server = serve(&site, &["-n", "2"]);
    sleep(SETTLED);
    let mut client = server.connect();
    for number in 0..200 {
        client.ask(request("GET", &format!("/{number}.txt"), &[GZIP]));
    }
    for number in 0..200 {
        let target = format!("/{number}.txt");
        let coded = ask_until_coded(&mut client, &target, GZIP, "gzip");
        assert_eq!(decode(&coded), text(3000 + number).as_bytes());
    }
}
