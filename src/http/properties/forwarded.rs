//! Property of `Forwarded` and `X-Forwarded-For`: the element that the proxy appends decides, and no text to its left changes that.

use std::net::SocketAddr;

use crate::config::{ServerConfig, TrustedProxy};
use crate::http::forwarded::{FoundClient, client};
use crate::http::head::HeadSearch;
use crate::http::request::Request;
use crate::http::storage::Storage;

/// Checks the property. The lowest bits of the first byte of `input` choose the field and whether the proxy appends to the line or
/// adds a line; the rest is what the client has written.
pub fn forwarded(mut input: &[u8]) {
    let flags = super::take_byte(&mut input);
    let written = String::from_utf8_lossy(input).replace(|letter: char| letter.is_control(), "?");
    let (name, prefix) = if flags & 1 > 0 {
        ("Forwarded", "for=")
    } else {
        ("X-Forwarded-For", "")
    };
    let append = |node: &str| {
        if flags & 2 > 0 {
            format!("{name}: {written}\r\n{name}: {prefix}{node}\r\n")
        } else {
            format!("{name}: {written}, {prefix}{node}\r\n")
        }
    };
    // A client, then one that is trusted: the element to its left decides, and it may be anything.
    assert_eq!(find(&append("192.0.2.1")), Some(known("192.0.2.1:0")));
    assert_eq!(find(&append("unknown")), Some(known("10.0.0.1:80")));
    let alone = find(&format!("{name}: {written}\r\n"));
    let behind = find(&append("10.0.0.1"));
    let expected = alone.map(|found| match found.address.to_string().as_str() {
        "10.0.0.1:80" => FoundClient {
            address: "10.0.0.1:0".parse().unwrap(),
            ..found
        },
        _ => found,
    });
    assert_eq!(behind, expected);
}

fn known(address: &str) -> FoundClient {
    FoundClient {
        address: address.parse().unwrap(),
        is_proxy: false,
    }
}

/// Returns the client of a request with these lines; `None` where the head is refused.
fn find(lines: &str) -> Option<FoundClient> {
    let source: SocketAddr = "10.0.0.1:80".parse().unwrap();
    let trusted: [TrustedProxy; 1] = ["10.0.0.0/8".parse().unwrap()];
    let head = format!("GET / HTTP/1.0\r\n{lines}\r\n");
    let (mut search, mut storage) = (HeadSearch::default(), Storage::default());
    let config = ServerConfig::default();
    let found = Request::find(head.as_bytes(), &mut search, &mut storage, &config);
    let (request, _) = found.ok()??;
    Some(client(request.headers, source, &trusted))
}
