//! Headers of both versions, by table and by property.

use proptest::prelude::*;

use super::*;
use crate::http::properties::{nearly, proxy_protocol, replay};

fn line(words: &str) -> Vec<u8> {
    format!("PROXY {words}\r\n").into_bytes()
}

fn binary(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, content].concat()
}

/// The addresses of version 2: a client 192.0.2.1:4711 of 198.51.100.1:443.
const IPV4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x67, 0x01, 0xbb];

fn ipv6(source: &str) -> Vec<u8> {
    let source: Ipv6Addr = source.parse().unwrap();
    [&source.octets()[..], &[9; 16], &[0x12, 0x67, 0x01, 0xbb]].concat()
}

/// Checks what a complete header says, also with a request behind it.
fn assert_names(header: &[u8], source: Option<&str>) {
    let expected = ProxyHeader {
        source: source.map(|source| source.parse().unwrap()),
        length: header.len(),
    };
    let shown = header.escape_ascii();
    assert_eq!(parse(header), Ok(Some(expected)), "{shown}");
    assert_eq!(
        parse(&[header, b"GET / HTTP/1.1\r\n\r\n"].concat()),
        Ok(Some(expected)),
        "{shown}"
    );
    for end in 0..header.len() {
        assert_eq!(parse(&header[..end]), Ok(None), "{shown} up to {end}");
    }
}

#[test]
fn a_line_names_the_client() {
    for (words, source) in [
        (
            "TCP4 192.0.2.1 198.51.100.1 4711 443",
            Some("192.0.2.1:4711"),
        ),
        ("TCP4 192.0.2.1 198.51.100.1 0 65535", Some("192.0.2.1:0")),
        (
            "TCP6 2001:db8::1 2001:db8::2 4711 443",
            Some("[2001:db8::1]:4711"),
        ),
        ("TCP6 ::ffff:192.0.2.1 ::1 4711 443", Some("192.0.2.1:4711")),
        ("TCP4 0.0.0.0 0.0.0.0 0 0", None),
        ("UNKNOWN", None),
        ("UNKNOWN ", None),
        ("UNKNOWN ffff::1 ffff::2 65535 65535", None),
        ("UNKNOWN anything at all", None),
    ] {
        assert_names(&line(words), source);
    }
}

#[test]
fn a_line_may_have_107_bytes() {
    let longest = format!(
        "UNKNOWN {}",
        "x".repeat(MAX_LINE - "PROXY UNKNOWN \r\n".len())
    );
    assert_names(&line(&longest), None);
    assert_eq!(parse(&line(&format!("{longest}x"))), Err(Malformed));
    assert_eq!(
        parse(format!("PROXY {longest}xx").as_bytes()),
        Err(Malformed)
    );
}

#[test]
fn lines_of_another_form_are_malformed() {
    for words in [
        "",
        "TCP4",
        "TCP5 192.0.2.1 198.51.100.1 1 2",
        "tcp4 192.0.2.1 198.51.100.1 1 2",
        "UDP4 192.0.2.1 198.51.100.1 1 2",
        "TCP4 192.0.2.1 198.51.100.1 1",
        "TCP4 192.0.2.1 198.51.100.1 1 2 3",
        "TCP4 192.0.2.1 198.51.100.1 1 2 ",
        "TCP4  192.0.2.1 198.51.100.1 1 2",
        "TCP4 192.0.2.1\t198.51.100.1 1 2",
        "TCP4 192.0.2.1 198.51.100.1 65536 2",
        "TCP4 192.0.2.1 198.51.100.1 1 +2",
        "TCP4 192.0.2.1 198.51.100.1 01 2",
        "TCP4 192.0.2.1 198.51.100.1 -1 2",
        "TCP4 192.0.2.256 198.51.100.1 1 2",
        "TCP4 192.0.2.01 198.51.100.1 1 2",
        "TCP4 2001:db8::1 2001:db8::2 1 2",
        "TCP6 192.0.2.1 198.51.100.1 1 2",
        "TCP6 [::1] [::1] 1 2",
        "TCP6 fe80::1%1 ::1 1 2",
        "TCP4 a b 1 2",
        "UNKNOWNX",
        "\u{e9}",
    ] {
        assert_eq!(parse(&line(words)), Err(Malformed), "{words}");
    }
    for bytes in [
        "PROXY UNKNOWN\n",
        "PROXY UNKNOWN\r\r\n ",
        "GET / HTTP/1.1\r\n",
        "proxy UNKNOWN\r\n",
        "PROXYUNKNOWN\r\n",
        "P/",
    ] {
        assert_eq!(parse(bytes.as_bytes()), Err(Malformed), "{bytes:?}");
    }
}

#[test]
fn a_binary_header_names_the_client() {
    let extended = |addresses: &[u8]| [addresses, &[0x04, 0, 2, 9, 9], &[0xee; 200]].concat();
    for (header, source) in [
        (binary(0x21, 0x11, &IPV4), Some("192.0.2.1:4711")),
        (binary(0x21, 0x11, &extended(&IPV4)), Some("192.0.2.1:4711")),
        (
            binary(0x21, 0x21, &ipv6("2001:db8::1")),
            Some("[2001:db8::1]:4711"),
        ),
        (
            binary(0x21, 0x21, &extended(&ipv6("2001:db8::1"))),
            Some("[2001:db8::1]:4711"),
        ),
        (
            binary(0x21, 0x21, &ipv6("::ffff:192.0.2.1")),
            Some("192.0.2.1:4711"),
        ),
        (binary(0x21, 0x11, &[0; 12]), None),
        (binary(0x21, 0x31, &[b'/'; 216]), None),
        (binary(0x21, 0x00, b""), None),
        (binary(0x21, 0x00, b"ignored"), None),
        (binary(0x20, 0x00, b""), None),
        (binary(0x20, 0x11, &IPV4), None),
        (binary(0x20, 0x11, b""), None),
        (binary(0x20, 0x12, &IPV4), None),
        (binary(0x20, 0xff, b"x"), None),
        (
            binary(
                0x21,
                0x11,
                &[IPV4.as_slice(), &[0; MAX_BINARY - FIXED - 12]].concat(),
            ),
            Some("192.0.2.1:4711"),
        ),
    ] {
        assert_names(&header, source);
    }
}

#[test]
fn binary_headers_of_another_form_are_malformed() {
    for header in [
        binary(0x11, 0x11, &IPV4),
        binary(0x31, 0x11, &IPV4),
        binary(0x22, 0x11, &IPV4),
        binary(0x2f, 0x11, &IPV4),
        // Datagrams.
        binary(0x21, 0x12, &IPV4),
        binary(0x21, 0x22, &ipv6("::1")),
        binary(0x21, 0x32, &[0; 216]),
        // Not assigned.
        binary(0x21, 0x10, &IPV4),
        binary(0x21, 0x41, &IPV4),
        // Too short, too long.
        binary(0x21, 0x11, &IPV4[..11]),
        binary(0x21, 0x21, &ipv6("::1")[..35]),
        binary(0x21, 0x11, &[0; MAX_BINARY - FIXED + 1]),
        binary(0x20, 0x00, &[0; 0xffff]),
    ] {
        assert_eq!(parse(&header), Err(Malformed), "{:?}", &header[12..16]);
    }
    assert_eq!(parse(b"\r\n\r\n\0\r\nQUIT\r"), Err(Malformed));
    assert_eq!(parse(b"\r\nGET / HTTP/1.1\r\n"), Err(Malformed));
}

proptest! {
    #[test]
    fn holds_for_lines(words in nearly("(TCP4|TCP6|UNKNOWN)( [0-9a-f:.]{1,12}){0,5}".prop_map(|words| line(&words)))) {
        proxy_protocol(&words);
    }

    #[test]
    fn holds_for_binary_headers(
        header in nearly((0x1fu8..0x23, 0u8..0x34, prop::collection::vec(any::<u8>(), 0..50))
            .prop_map(|(command, family, content)| binary(command, family, &content))),
    ) {
        proxy_protocol(&header);
    }

    #[test]
    fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..200)) {
        proxy_protocol(&input);
    }
}

#[test]
fn holds_for_the_corpus() {
    replay("proxy_protocol", proxy_protocol);
}
