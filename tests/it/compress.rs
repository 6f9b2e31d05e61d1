//! `--compress`: siblings of a file, and content that is compressed once.

mod made;
mod siblings;

use std::thread::sleep;

use crate::support::{Reply, SETTLED, Server, Site, request};

const BROWSER: &str = "Accept-Encoding: gzip, deflate, br, zstd";
const GZIP: &str = "Accept-Encoding: gzip";

fn serve(site: &Site, options: &[&str]) -> Server {
    Server::with(site, &[&["--compress"], options].concat())
}

/// Text that compresses well and has no period.
fn text(length: usize) -> String {
    let lines = (0..).map(|number: u64| format!("line {number} {:x}\n", number * number));
    let mut text = String::new();
    for line in lines {
        text.push_str(&line);
        if text.len() >= length {
            break;
        }
    }
    text.truncate(length);
    text
}

fn coding(reply: &Reply) -> Option<&str> {
    reply.field("Content-Encoding")
}

/// Asks often enough that the reply is one that is kept.
fn ask(server: &Server, method: &str, target: &str, fields: &[&str]) -> Reply {
    let mut client = server.connect();
    client.ask(request("GET", target, &[]));
    sleep(SETTLED);
    client.ask(request("GET", target, &[]));
    client.ask(request(method, target, fields))
}

#[test]
fn without_the_option_nothing_is_coded() {
    let site = Site::empty();
    site.file("a.css", text(5000)).file("a.css.gz", "sibling");
    let plain = Server::start(&site);
    let coded = serve(&site, &[]);
    let reply = ask(&plain, "GET", "/a.css", &[BROWSER]);
    assert_eq!((coding(&reply), reply.field("Vary")), (None, None));
    let identity = ask(&coded, "GET", "/a.css", &[]);
    assert_eq!(identity.field("ETag"), reply.field("ETag"));
    assert_eq!(identity.body, reply.body);
    assert_eq!(coding(&identity), None);
}

#[test]
fn malformed_and_many_values_of_accept_encoding_are_harmless() {
    let site = Site::empty();
    site.file("a.css", text(5000)).file("a.css.gz", "sibling");
    let server = serve(&site, &[]);
    let mut client = server.connect();
    let long = [
        ",".repeat(8000),
        ";".repeat(8000),
        "gzip;q=".repeat(1000),
        "x,".repeat(3999) + "gzip",
        format!("gzip;q=0.{}", "9".repeat(7000)),
        format!("gzip{}", " ".repeat(7000)),
        "*;q=0,".repeat(1000),
    ];
    for value in long {
        let field = format!("Accept-Encoding: {value}");
        let reply = client.ask(request("GET", "/a.css", &[&field]));
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.field("Vary"), Some("Accept-Encoding"));
    }
    for number in 0..3000 {
        let field = format!("Accept-Encoding: x{number}, gzip;q=0.{:03}", number % 1000);
        let reply = client.ask(request("GET", "/a.css", &[&field]));
        let expected = (number % 1000 != 0).then_some("gzip");
        assert_eq!(coding(&reply), expected, "{field}");
    }
}
