//! The hosts of requests, and where a redirect to HTTPS leads, by table.

use proptest::prelude::*;

use super::*;
use crate::config::ServerConfig;
use crate::http::head::HeadSearch;
use crate::http::storage::Storage;

/// Reads a request with this line and these fields; returns `None` if it is refused, for its Host for example.
fn with_request<T>(line: &str, fields: &str, read: impl FnOnce(&Request<'_>) -> T) -> Option<T> {
    let head = match line.contains("HTTP/") {
        true => format!("{line}\r\n{fields}\r\n"),
        false => format!("{line}\r\n"),
    };
    let (mut storage, mut search) = (Storage::default(), HeadSearch::default());
    let config = ServerConfig::default();
    let found = Request::find(head.as_bytes(), &mut search, &mut storage, &config);
    found.ok().flatten().map(|(request, _)| read(&request))
}

/// Returns whether a request with this line and these fields is for one of `hosts`.
fn is_for(hosts: &[&str], line: &str, fields: &str) -> bool {
    let hosts: Vec<_> = hosts
        .iter()
        .filter_map(|host| ServedHost::parse(host))
        .collect();
    // One that is refused for its Host is for none of them.
    with_request(line, fields, |request| {
        is_served(&hosts, request, HTTP_PORT)
    })
    .unwrap_or(false)
}

fn is_for_field(served: &str, host: &str) -> bool {
    is_for(&[served], "GET / HTTP/1.1", &format!("Host: {host}\r\n"))
}

#[test]
fn case_port_and_trailing_dot_do_not_matter() {
    for served in ["example.org", "Example.ORG", "example.org."] {
        for host in [
            "example.org",
            "EXAMPLE.org",
            "example.org.",
            "example.org:80",
            "example.org:8000",
            "example.org.:8000",
            "example.org:",
            "  example.org  ",
        ] {
            assert!(is_for_field(served, host), "{served} {host}");
        }
        for host in [
            "",
            ".",
            ":80",
            "example.com",
            "example.org..",
            ".example.org",
            "www.example.org",
            "example.orgx",
            "xexample.org",
            "example",
            "example.org%2e",
            "example.org:65536",
            "example.org:99999999999999999999",
            "[example.org]",
            "[::1]",
        ] {
            assert!(!is_for_field(served, host), "{served} {host}");
        }
    }
}

#[test]
fn a_configured_port_must_match() {
    for (served, host, expected) in [
        ("a:8000", "a:8000", true),
        ("a:8000", "A.:8000", true),
        ("a:8000", "a:08000", true),
        ("a:8000", "a", false),
        ("a:8000", "a:", false),
        ("a:8000", "a:8001", false),
        ("a:80", "a", true),
        ("a:80", "a:", true),
        ("[::1]:8000", "[::1]:8000", true),
        ("[::1]:8000", "[::1]", false),
    ] {
        assert_eq!(is_for_field(served, host), expected, "{served} {host}");
    }
}

#[test]
fn addresses_are_compared_as_hosts() {
    for (served, host, expected) in [
        ("127.0.0.1", "127.0.0.1:8000", true),
        ("127.0.0.1", "127.0.0.2", false),
        ("127.0.0.1", "localhost", false),
        ("[::1]", "[::1]", true),
        ("[::1]", "[::1]:8000", true),
        ("[::1]", "[0:0:0:0:0:0:0:1]", true),
        ("[FE80::A]", "[fe80::a]", true),
        ("[::1]", "[::2]", false),
        ("[::1]", "1", false),
        ("[::127.0.0.1]", "127.0.0.1", false),
    ] {
        assert_eq!(is_for_field(served, host), expected, "{served} {host}");
    }
}

#[test]
fn the_host_of_the_target_overrides_the_field() {
    for (line, fields, expected) in [
        ("GET http://good/ HTTP/1.1", "Host: evil\r\n", true),
        ("GET HTTPS://GOOD.:1?x HTTP/1.1", "Host: evil\r\n", true),
        ("GET http://good HTTP/1.0", "", true),
        ("GET http://good/", "", true),
        ("GET http://evil/ HTTP/1.1", "Host: good\r\n", false),
        ("GET http://evil#good HTTP/1.1", "Host: good\r\n", false),
        (
            "GET http://evil/http://good/ HTTP/1.1",
            "Host: good\r\n",
            false,
        ),
        ("GET /http://evil/ HTTP/1.1", "Host: good\r\n", true),
        ("GET //evil/ HTTP/1.1", "Host: good\r\n", true),
        ("OPTIONS * HTTP/1.1", "Host: good\r\n", true),
        ("OPTIONS * HTTP/1.1", "Host: evil\r\n", false),
        ("CONNECT good:443 HTTP/1.1", "Host: evil\r\n", true),
        ("CONNECT evil:443 HTTP/1.1", "Host: good\r\n", false),
        ("CONNECT /good HTTP/1.1", "Host: good\r\n", false),
        ("GET \t /x   HTTP/1.1", "Host: good\r\n", true),
        ("GET \t http://evil/   HTTP/1.1", "Host: good\r\n", false),
    ] {
        assert_eq!(is_for(&["good"], line, fields), expected, "{line}");
    }
}

#[test]
fn a_request_without_a_host_is_not_served() {
    for line in ["GET / HTTP/1.0", "GET /"] {
        assert!(!is_for(&["good"], line, ""), "{line}");
    }
    assert!(!is_for_field("good", ""));
}

#[test]
fn one_matching_host_is_enough() {
    let hosts = ["localhost", "127.0.0.1", "[::1]:8000"];
    for host in ["localhost:1", "127.0.0.1", "[::1]:8000"] {
        assert!(is_for(
            &hosts,
            "GET / HTTP/1.1",
            &format!("Host: {host}\r\n")
        ));
    }
    assert!(!is_for(&[], "GET / HTTP/1.1", "Host: localhost\r\n"));
}

/// Asserts what `https_authority` returns for a request that is not refused before.
#[track_caller]
fn assert_https(line: &str, fields: &str, port: Option<u16>, expected: Option<&str>) {
    let found = with_request(line, fields, |request| https_authority(request, port));
    let found = found.expect("the request is not refused");
    assert_eq!(found.as_deref(), expected, "{line} {fields:?} {port:?}");
}

#[test]
fn the_host_of_a_redirect_is_that_of_the_field() {
    for (host, port, expected) in [
        ("a", None, "a:80"),
        ("a:", None, "a:80"),
        ("a:80", None, "a:80"),
        ("a:8080", None, "a:8080"),
        ("a:08080", None, "a:8080"),
        ("a:443", None, "a"),
        ("a", Some(443), "a"),
        ("a:8080", Some(443), "a"),
        ("a:443", Some(8443), "a:8443"),
        ("a:8080", Some(8443), "a:8443"),
        ("A.Example", None, "A.Example:80"),
        ("a-b_c.example", Some(443), "a-b_c.example"),
        // A certificate names the host without the dot.
        ("a.", Some(443), "a"),
        ("a.:8080", None, "a:8080"),
        ("127.0.0.1:8080", None, "127.0.0.1:8080"),
        ("[::1]", None, "[::1]:80"),
        ("[::1]:8080", None, "[::1]:8080"),
        ("[::1]:8080", Some(443), "[::1]"),
        ("[0:0:0:0:0:0:0:A]", Some(443), "[::a]"),
    ] {
        for line in ["GET / HTTP/1.1", "GET //b HTTP/1.0", "OPTIONS * HTTP/1.1"] {
            assert_https(line, &format!("Host: {host}\r\n"), port, Some(expected));
        }
    }
}

#[test]
fn a_host_that_is_no_name_or_address_gets_no_redirect() {
    for host in [
        "a:65536",
        "a:99999999999999999999",
        ".",
        "a..",
        ".a",
        "a%41",
        "a&b",
        "a,b",
        "a;b",
        "[a]",
        "[1.2.3.4]",
        "[::1]:65536",
    ] {
        for port in [None, Some(443)] {
            let fields = format!("Host: {host}\r\n");
            assert_https("GET / HTTP/1.1", &fields, port, None);
        }
    }
}

#[test]
fn userinfo_and_a_port_that_is_no_number_are_refused_before() {
    for authority in ["a@b", "a:b@c", "a:x", "a:-1", "a:1:2", "[::1", "::1", ":80"] {
        for (line, fields) in [
            (
                "GET / HTTP/1.1".to_owned(),
                format!("Host: {authority}\r\n"),
            ),
            (
                format!("GET http://{authority}/ HTTP/1.1"),
                "Host: a\r\n".to_owned(),
            ),
        ] {
            let read = with_request(&line, &fields, |_| ());
            assert!(read.is_none(), "{line} {fields:?}");
        }
    }
}

#[test]
fn an_absolute_target_gets_a_redirect_only_if_the_field_agrees() {
    for (target, fields, expected) in [
        ("http://a", "Host: a\r\n", Some("a:80")),
        ("https://a/x", "Host: a\r\n", Some("a:80")),
        ("HTTP://A:8080?x", "Host: a:8080\r\n", Some("A:8080")),
        ("http://a:443/", "Host: a:443\r\n", Some("a")),
        ("http://[::1]/", "Host: [::1]\r\n", Some("[::1]:80")),
        ("http://a/", "Host: b\r\n", None),
        ("http://a/", "Host: b.a\r\n", None),
        ("http://a:8080/", "Host: a\r\n", None),
        ("http://a:8080/", "Host: a:8081\r\n", None),
        ("http://a/", "", None),
        // A target in origin-form names no host.
        ("/http://b/", "Host: a\r\n", Some("a:80")),
        ("//b/", "Host: a\r\n", Some("a:80")),
        ("/", "", None),
        ("/", "Host:\r\n", None),
    ] {
        // Without a Host field, a request of HTTP/1.1 is refused before.
        let line = format!("GET {target} HTTP/1.0");
        assert_https(&line, fields, None, expected);
    }
    assert_https("GET /", "", Some(443), None);
    assert_https("CONNECT b:443 HTTP/1.1", "Host: a\r\n", Some(443), None);
    assert_https("CONNECT a HTTP/1.1", "Host: a\r\n", Some(443), Some("a"));
}

#[test]
fn a_served_host_is_a_name_or_an_address() {
    for served in [
        "a",
        "a.b-c.d_e.",
        "127.0.0.1:1",
        "[::1]",
        "[::1]:65535",
        "xn--mnchen-3ya.de",
    ] {
        assert!(ServedHost::parse(served).is_some(), "{served:?}");
    }
    for invalid in [
        "",
        " ",
        ".",
        "..",
        "a..b",
        ".a",
        "a b",
        " a",
        "a ",
        "a/b",
        "http://a",
        "http://a/",
        "*",
        "*.a",
        "a:",
        "a:0",
        "a:x",
        "a:+1",
        "a:-1",
        "a:65536",
        "a:1:2",
        ":80",
        "::1",
        "[::1",
        "[]",
        "[a]",
        "[::1]x",
        "[::1]:",
        "[::1].",
        "[1.2.3.4]",
        "[fe80::1%eth0]",
        "user@a",
        "a,b",
        "a\r\nb",
        "a\0",
        "münchen.de",
        "a%41",
        "a?",
        "a#",
    ] {
        assert!(ServedHost::parse(invalid).is_none(), "{invalid:?}");
    }
}

proptest! {
    #[test]
    fn no_authority_panics_and_a_served_host_matches_itself(authority in prop::collection::vec(any::<u8>(), 0..12), text in ".{0,12}") {
        split_port(&authority);
        split_absolute(&authority);
        let served = ServedHost::parse(&text);
        if let (Some(served), Some((host, port))) = (served, split_port(text.as_bytes())) {
            prop_assert!(served.matches(host, port.unwrap_or(HTTP_PORT)));
        }
    }
}
