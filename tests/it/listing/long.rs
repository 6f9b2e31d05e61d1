//! Listings of so many entries that they are sent in pieces.

use std::fs::File;

use super::{entries, json, names};
use crate::support::{Client, Json, Reply, Server, Site, get, request};

/// A directory of ten thousand empty files.
fn crowded_site() -> Site {
    let site = Site::in_memory();
    for number in 0..10_000 {
        File::create(site.at(format!("{number:05}"))).unwrap();
    }
    site
}

#[test]
fn ten_thousand_entries_are_chunked() {
    let site = crowded_site();
    let server = Server::start(&site);
    let mut client = server.connect();
    let expected: Vec<_> = (0..10_000).map(|number| format!("{number:05}")).collect();
    let page = client.get("/");
    assert!(page.head.is_chunked());
    assert_eq!(entries(page.text()), expected);
    let listing = client.get("/?format=json&order=desc");
    assert!(listing.head.is_chunked());
    assert!(names(&listing).iter().rev().eq(&expected));
    let head = client.ask(request("HEAD", "/", &[]));
    let but_date = |reply: &Reply| {
        let mut fields = reply.head.fields.clone();
        fields.retain(|(name, _)| name != "Date");
        fields
    };
    assert_eq!(but_date(&head), but_date(&page));
    client.assert_open();
}

#[test]
fn http_1_0_gets_a_long_listing_unchunked() {
    let site = crowded_site();
    let server = Server::start(&site);
    for keep_alive in ["", "Connection: keep-alive\r\n"] {
        let reply = server.ask(format!("GET / HTTP/1.0\r\n{keep_alive}\r\n"));
        assert_eq!(reply.field("Transfer-Encoding"), None);
        assert!(reply.head.closes());
        assert_eq!(entries(reply.text()).len(), 10_000);
    }
    let bare = server.connect().send("GET /\r\n").read_to_end();
    assert_eq!(entries(str::from_utf8(&bare).unwrap()).len(), 10_000);
}

#[test]
fn long_listings_do_not_stall_others() {
    let site = crowded_site();
    site.file("docs/index.html", "index");
    let server = Server::start(&site);
    let mut readers: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    for reader in &mut readers {
        reader.send(get("/"));
    }
    assert_eq!(server.get("/docs/").body, b"index");
    for reader in &mut readers {
        assert_eq!(entries(reader.read_reply().text()).len(), 10_001);
    }
}

#[test]
fn unread_listings_stay_whole_while_other_clients_leave() {
    let site = crowded_site();
    site.file("docs/index.html", "index");
    let server = Server::start(&site);
    let targets = ["/", "/?format=json", "/?sort=date&order=desc"];
    let mut readers: Vec<_> = (0..60)
        .map(|number| {
            let mut client = server.connect();
            client.send(get(targets[number % 3]));
            client
        })
        .collect();
    for (number, mut reader) in readers.drain(..).enumerate() {
        assert_eq!(server.get("/docs/").body, b"index");
        match number % 4 {
            // These clients close before their reply, or within it.
            0 => drop(reader),
            1 => drop(reader.take(20_000)),
            _ if number % 3 == 1 => assert_eq!(names(&reader.read_reply()).len(), 10_001),
            _ => assert_eq!(entries(reader.read_reply().text()).len(), 10_001),
        }
    }
}

#[test]
fn a_long_listing_has_every_earlier_change() {
    let site = Site::in_memory();
    for number in 0..2000 {
        File::create(site.at(format!("{number:05}"))).unwrap();
    }
    site.link("link", "00000");
    let server = Server::start(&site);
    let mut clients: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for number in 0..100 {
        let target = ["/?format=json", "/?format=json&sort=size"][number % 2];
        // These listings have been requested and not read when the directory changes.
        for client in &mut clients[1..] {
            client.send(get(target));
        }
        site.file(format!("new-{number}"), "");
        site.file("00000", "x".repeat(number));
        let listing = json(&clients[0].get(target));
        assert_eq!(listing.len(), 2002 + number);
        let of = |name: &str| {
            let is_it = |entry: &&Json| entry.get("name").text() == name;
            listing.iter().find(is_it).unwrap().get("size").number()
        };
        assert_eq!([of("00000"), of("link")], [number as i64; 2]);
        for client in &mut clients[1..] {
            assert!(json(&client.read_reply()).len() >= 2001 + number);
        }
    }
}

#[test]
fn numbers_in_names_are_in_natural_order_in_page_and_json() {
    for count in [20, 1200] {
        let site = Site::in_memory();
        let mut expected: Vec<_> = (0..count)
            .map(|number| format!("file-{number}.txt"))
            .collect();
        for name in &expected {
            site.file(name, "");
        }
        let server = Server::start(&site);
        for query in ["?", "?order=desc&"] {
            assert_eq!(entries(server.get(&format!("/{query}")).text()), expected);
            let listing = server.get(&format!("/{query}format=json"));
            assert_eq!(names(&listing), expected);
            expected.reverse();
        }
    }
}
