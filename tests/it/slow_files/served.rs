//! The served directory itself lies on the slow file system, or the served file does.

use std::fs;
use std::os::unix::fs::symlink;
use std::thread;
use std::time::Duration;

use super::slow_site::SlowSite;
use super::{DELAY, SOON};
use crate::support::{Json, Server, get, request};

/// All that may wait for the file system, each for long enough that a loop would be seen to wait, if it were measured.
const ALL: [&str; 7] = [
    "lookup", "getattr", "open", "read", "opendir", "readdir", "flush",
];

fn content() -> Vec<u8> {
    (0..5_000_000_u32).map(|i| (i / 7 % 251) as u8).collect()
}

/// A server for a directory that is slow in everything.
fn serve() -> Option<(SlowSite, Server)> {
    let slow = SlowSite::new()?;
    slow.file("slow.txt", "slow\n")
        .file("slow.bin", content())
        .file("slow-docs/slow.txt", "in docs\n")
        .file("slow-index/index.html", "<p>slow index</p>\n")
        .file("fast.txt", "fast\n");
    let server = slow.server_below("", &[]);
    slow.delay(&ALL, 0.02);
    Some((slow, server))
}

#[test]
fn files_have_the_right_bytes() {
    let Some((slow, server)) = serve() else {
        return;
    };
    slow.file("slow-notes", "x".repeat(100_000));
    let mut client = server.connect();
    for _ in 0..2 {
        assert_eq!(client.get("/slow.txt").text(), "slow\n");
        assert_eq!(client.get("/fast.txt").text(), "fast\n");
        assert!(client.get("/slow.bin").body == content(), "wrong bytes");
        let notes = client.get("/slow-notes");
        assert_eq!(
            notes.field("Content-Type"),
            Some("text/plain; charset=utf-8")
        );
        let reply = client.ask(request("HEAD", "/slow.bin", &[]));
        assert_eq!(reply.head.content_length(), Some(5_000_000));
        assert_eq!(client.get("/slow-missing.txt").status(), 404);
    }
}

#[test]
fn many_clients_download_a_large_file_at_the_same_time() {
    let Some((_slow, server)) = serve() else {
        return;
    };
    let mut clients: Vec<_> = (0..10).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(get("/slow.bin"));
    }
    for client in &mut clients {
        assert!(client.read_reply().body == content(), "wrong bytes");
    }
}

#[test]
fn ranges_have_the_right_bytes() {
    let Some((_slow, server)) = serve() else {
        return;
    };
    let content = content();
    let ask = |range: &str| {
        let field = format!("Range: bytes={range}");
        server.ask(request("GET", "/slow.bin", &[&field]))
    };
    let reply = ask("1234567-2345678");
    assert_eq!(reply.status(), 206);
    assert!(reply.body == content[1_234_567..=2_345_678], "wrong bytes");
    let reply = ask("0-9,2000000-2999999,-10");
    assert_eq!(reply.status(), 206);
    for expected in [
        &content[..10],
        &content[2_000_000..3_000_000],
        &content[4_999_990..],
    ] {
        let piece = [b"\r\n\r\n", expected, b"\r\n--"].concat();
        let at = memchr::memmem::find(&reply.body, &piece);
        assert!(at.is_some(), "a part is missing");
    }
    assert_eq!(ask("5000000-").status(), 416);
}

#[test]
fn a_known_entity_tag_is_answered_with_304() {
    let Some((_slow, server)) = serve() else {
        return;
    };
    for target in ["/slow.txt", "/slow.bin"] {
        let tag = server.get(target).field("ETag").unwrap().to_owned();
        let field = format!("If-None-Match: {tag}");
        let reply = server.ask(request("GET", target, &[&field]));
        assert_eq!((reply.status(), reply.field("ETag")), (304, Some(&*tag)));
    }
}

#[test]
fn directories_are_redirected_listed_and_have_their_index_page() {
    let Some((_slow, server)) = serve() else {
        return;
    };
    let mut client = server.connect();
    let reply = client.get("/slow-docs");
    assert_eq!(
        (reply.status(), reply.field("Location")),
        (301, Some("slow-docs/"))
    );
    assert_eq!(client.get("/slow-index/").text(), "<p>slow index</p>\n");
    for _ in 0..2 {
        let page = client.get("/slow-docs/");
        assert!(page.text().contains("\"slow.txt\""), "{}", page.text());
        let json = Json::parse(client.get("/?format=json").text());
        let names: Vec<_> = json
            .items()
            .iter()
            .map(|entry| entry.get("name").text())
            .collect();
        assert_eq!(
            names,
            [
                "slow-docs",
                "slow-index",
                "fast.txt",
                "slow.bin",
                "slow.txt"
            ]
        );
    }
}

#[test]
fn a_link_inside_is_followed_and_one_that_leads_out_is_not() {
    let Some((slow, server)) = serve() else {
        return;
    };
    symlink("slow-docs/slow.txt", slow.source().join("slow-link")).unwrap();
    symlink("../../secret.txt", slow.source().join("slow-way-out")).unwrap();
    assert_eq!(server.get("/slow-link").text(), "in docs\n");
    assert_eq!(server.get("/slow-way-out").status(), 404);
}

#[test]
fn the_next_request_after_a_change_gets_the_new_content() {
    let Some((slow, server)) = serve() else {
        return;
    };
    let mut client = server.connect();
    let path = slow.source().join("slow.txt");
    for version in 0..5 {
        let content = format!("version {version}\n");
        if version % 2 == 0 {
            fs::write(slow.source().join("new"), &content).unwrap();
            fs::rename(slow.source().join("new"), &path).unwrap();
        } else {
            fs::write(&path, &content).unwrap();
        }
        assert_eq!(client.get("/slow.txt").text(), content);
        assert_eq!(client.get("/slow.txt").text(), content);
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(client.get("/slow.txt").status(), 404);
    let listing = client.get("/");
    assert!(!listing.text().contains("slow.txt"), "{}", listing.text());
}

#[test]
fn a_single_file_is_served() {
    let Some(slow) = SlowSite::new() else { return };
    slow.file("slow.txt", "slow\n");
    let server = slow.server_below("slow.txt", &[]);
    slow.delay(&["lookup", "open"], DELAY);
    let mut client = server.connect();
    client.send(get("/slow.txt"));
    thread::sleep(Duration::from_millis(200));
    let began = std::time::Instant::now();
    server.connect().assert_open();
    assert!(began.elapsed() < SOON, "another client waited");
    assert_eq!(client.read_reply().text(), "slow\n");
    slow.delay(&[], 0.0);
    slow.file("slow.txt", "new\n");
    assert_eq!(server.get("/slow.txt").text(), "new\n");
    assert_eq!(server.get("/other.txt").status(), 404);
}
