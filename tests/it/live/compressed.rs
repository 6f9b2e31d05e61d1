//! Pages with the line that are compressed.
#![cfg(feature = "compress")]

use std::io::Read;

use super::{HTML, LINE, serve, site};
use crate::support::{request, wait_until};

#[test]
fn live_pages_are_compressed_with_their_line() {
    let site = site();
    let content = "<p>page</p>\n".repeat(500);
    site.file("page.html", &content)
        .file("page.html.gz", "has no line")
        .file("style.css.gz", "sibling");
    let server = serve(&site, &["--compress"]);
    let gzip = "Accept-Encoding: gzip";
    let ask = |target: &str| server.ask(request("GET", target, &[gzip]));
    wait_until("the page is compressed", || {
        let reply = ask("/page.html");
        let mut page = Vec::new();
        match reply.field("Content-Encoding") {
            None => page = reply.body,
            Some(_) => drop(
                flate2::read::GzDecoder::new(&*reply.body)
                    .read_to_end(&mut page)
                    .unwrap(),
            ),
        }
        assert_eq!(page, format!("{content}{LINE}").as_bytes());
        reply.head.field("Content-Encoding") == Some("gzip")
    });
    assert_eq!(ask("/style.css").text(), "sibling");
}

/// The line of a listing has no effect unless the policy of the page allows it, and two codings may not share a strong tag.
#[test]
fn compressed_listings_allow_their_line() {
    let site = site();
    for number in 0..50 {
        site.file(format!("list/{number}.txt"), "x");
    }
    let server = serve(&site, &["--compress"]);
    let fields = [HTML, "Accept-Encoding: gzip"];
    let ask = || server.ask(request("GET", "/list/", &fields));
    wait_until("the listing is compressed", || {
        ask().field("Content-Encoding") == Some("gzip")
    });
    let (coded, plain) = (ask(), server.ask(request("GET", "/list/", &[HTML])));
    for name in ["Content-Security-Policy", "Content-Type", "Cache-Control"] {
        assert_eq!(coded.field(name), plain.field(name));
    }
    let (coded, plain) = (coded.field("ETag"), plain.field("ETag"));
    let is_weak = |tag: Option<&str>| tag.unwrap().starts_with("W/");
    assert!(coded != plain || is_weak(coded), "{coded:?}");
    assert!(coded.is_some());
}
