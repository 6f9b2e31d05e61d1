//! The client of requests that came through proxies of 10.0.0.0/8, by table and by property.

use super::*;
use crate::http::properties::forwarded;
use crate::http::storage::tests::request_with;

const PROXY: &str = "10.0.0.1:80";

/// Returns the client that fields name, and whether it is the proxy itself.
fn find(fields: &[(&str, &str)]) -> (String, bool) {
    let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
    let found = request_with(fields, |request| {
        client(request.headers, PROXY.parse().unwrap(), &trusted)
    });
    (found.address.to_string(), found.is_proxy)
}

fn assert_client(fields: &[(&str, &str)], address: &str) {
    assert_eq!(find(fields).0, address, "{fields:?}");
}

#[test]
fn x_forwarded_for_is_read_from_the_right() {
    for (value, address) in [
        ("192.0.2.1", "192.0.2.1:0"),
        ("192.0.2.1:4711", "192.0.2.1:4711"),
        ("2001:db8::1", "[2001:db8::1]:0"),
        ("[2001:db8::1]", "[2001:db8::1]:0"),
        ("[2001:db8::1]:4711", "[2001:db8::1]:4711"),
        ("::ffff:192.0.2.1", "192.0.2.1:0"),
        ("198.51.100.9, 192.0.2.1", "192.0.2.1:0"),
        ("192.0.2.1, 10.9.9.9", "192.0.2.1:0"),
        ("192.0.2.1,10.9.9.9:1 ,\t[fd00::1]:2", "192.0.2.1:0"),
        ("192.0.2.1, ::ffff:10.0.0.7", "192.0.2.1:0"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3:0"),
        (" , 192.0.2.1, ,", "192.0.2.1:0"),
        // The walk stops at what is no address.
        ("192.0.2.1, unknown", PROXY),
        ("192.0.2.1, unknown, 10.0.0.2", "10.0.0.2:0"),
        ("192.0.2.1, _hidden", PROXY),
        ("192.0.2.1, unix:", PROXY),
        ("192.0.2.1, 0.0.0.0", PROXY),
        ("192.0.2.1, [::]:0", PROXY),
        ("192.0.2.1, 192.0.2.256", PROXY),
        ("192.0.2.1, 192.0.2.01", PROXY),
        ("192.0.2.1, 192.0.2.1:", PROXY),
        ("192.0.2.1, 192.0.2.1:65536", PROXY),
        ("192.0.2.1, 192.0.2.1:+1", PROXY),
        ("192.0.2.1, [192.0.2.1]", PROXY),
        ("192.0.2.1, [2001:db8::1", PROXY),
        ("192.0.2.1, 2001:db8::1]:5", PROXY),
        ("192.0.2.1, [2001:db8::1]5", PROXY),
        ("192.0.2.1, fe80::1%eth0", PROXY),
        ("192.0.2.1, \"192.0.2.1\"", PROXY),
        ("192.0.2.1 198.51.100.9", PROXY),
        ("192.0.2.1, \u{e9}", PROXY),
        ("", PROXY),
    ] {
        assert_client(&[("X-Forwarded-For", value)], address);
    }
}

#[test]
fn forwarded_is_read_from_the_right() {
    for (value, address) in [
        ("for=192.0.2.1", "192.0.2.1:0"),
        ("FOR=192.0.2.1;proto=http;By=203.0.113.43", "192.0.2.1:0"),
        ("proto=https; for=192.0.2.1 ; host=\"a;b,c\"", "192.0.2.1:0"),
        ("for=\"192.0.2.1:4711\"", "192.0.2.1:4711"),
        ("for=192.0.2.1:4711", "192.0.2.1:4711"),
        ("for=\"[2001:db8::1]:4711\"", "[2001:db8::1]:4711"),
        ("For=\"[2001:DB8::1]\"", "[2001:db8::1]:0"),
        ("for=\"192.0.2.1:_port\"", "192.0.2.1:0"),
        ("for=\"192\\.0.2.\\1\"", "192.0.2.1:0"),
        ("for=198.51.100.9, for=192.0.2.1", "192.0.2.1:0"),
        (
            "for=192.0.2.1, for=\"[fd00::1]:5\", for=10.1.1.1",
            "192.0.2.1:0",
        ),
        ("for=10.0.0.3,for=10.0.0.2", "10.0.0.3:0"),
        (", for=192.0.2.1, ,", "192.0.2.1:0"),
        ("for=192.0.2.1, host=\"\\\",\";for=10.0.0.2", "192.0.2.1:0"),
        ("for=192.0.2.1, host=\"\\\\\";for=10.0.0.2", "192.0.2.1:0"),
        // The walk stops at what is no address.
        ("for=192.0.2.1, for=unknown", PROXY),
        ("for=192.0.2.1, for=Unknown, for=10.0.0.2", "10.0.0.2:0"),
        ("for=192.0.2.1, for=_hidden", PROXY),
        ("for=192.0.2.1, for=\"_SEVKISEK:80\"", PROXY),
        ("for=192.0.2.1, proto=https", PROXY),
        ("for=192.0.2.1, for=192.0.2.1;for=192.0.2.1", PROXY),
        ("for=192.0.2.1, for=192.0.2.2;", PROXY),
        ("for=192.0.2.1, for", PROXY),
        ("for=192.0.2.1, for=", PROXY),
        ("for=192.0.2.1, for =192.0.2.1", PROXY),
        ("for=192.0.2.1, for= 192.0.2.1", PROXY),
        ("for=192.0.2.1, 192.0.2.1", PROXY),
        ("for=192.0.2.1, for=\"192.0.2.1", PROXY),
        ("for=192.0.2.1, for=\"192.0.2.1\"x", PROXY),
        ("for=192.0.2.1, for=\"192.0.2.1\\\"", PROXY),
        ("for=192.0.2.1, for=\"192.0.2.1\"\"\"", PROXY),
        ("for=192.0.2.1, for=\"\"", PROXY),
    ] {
        assert_client(&[("Forwarded", value)], address);
    }
}

#[test]
fn an_open_quote_of_the_client_does_not_hide_what_the_proxy_adds() {
    for added in [
        "for=192.0.2.1",
        "for=\"[2001:db8::1]:4711\"",
        "for=192.0.2.1;host=\", for=198.51.100.9\"",
    ] {
        let address = find(&[("Forwarded", added)]).0;
        for written in [
            "x=\"",
            "for=\"198.51.100.9",
            "for=198.51.100.9, x=\"\\",
            "for=198.51.100.9;x=\"a\\\"",
            "\"",
            "",
        ] {
            let line = format!("{written}, {added}");
            assert_client(&[("Forwarded", &line)], &address);
            assert_client(&[("Forwarded", written), ("Forwarded", added)], &address);
        }
    }
}

#[test]
fn several_lines_are_one_list() {
    let address = "192.0.2.1:0";
    for name in ["X-Forwarded-For", "forwarded"] {
        let element = |address: &str| match name {
            "forwarded" => format!("for={address}"),
            _ => address.to_owned(),
        };
        let lines = ["198.51.100.9", "192.0.2.1", "10.0.0.2"].map(element);
        assert_client(&[(name, &lines[0]), (name, &lines[1])], address);
        assert_client(
            &[
                (name, &lines[0]),
                ("A", "b"),
                (name, &lines[1]),
                (name, &lines[2]),
            ],
            address,
        );
        let joined = format!("{}, {}", lines[0], lines[1]);
        assert_client(&[(name, &joined), (name, &lines[2])], address);
        assert_client(&[(name, &lines[1]), (name, "")], address);
    }
}

#[test]
fn where_both_fields_are_there_only_what_they_agree_on_counts() {
    let both = |forwarded, other| find(&[("Forwarded", forwarded), ("X-Forwarded-For", other)]).0;
    assert_eq!(both("for=\"192.0.2.1:5\"", "192.0.2.1"), "192.0.2.1:5");
    assert_eq!(
        both(
            "for=9.9.9.9, for=192.0.2.1, for=10.0.0.2",
            "192.0.2.1, 10.0.0.2"
        ),
        "192.0.2.1:0"
    );
    assert_eq!(
        both("for=192.0.2.1, for=10.0.0.2", "198.51.100.9, 10.0.0.2"),
        "10.0.0.2:0"
    );
    for (forwarded, other) in [
        ("for=192.0.2.1", "198.51.100.9"),
        ("for=unknown", "192.0.2.1"),
        ("for=192.0.2.1", "unknown"),
        ("for=192.0.2.1", ""),
        ("", "192.0.2.1"),
    ] {
        assert_eq!(both(forwarded, other), PROXY, "{forwarded} {other}");
    }
}

#[test]
fn a_request_is_the_proxys_own_only_if_no_field_names_a_client() {
    for (fields, is_proxy) in [
        (&[][..], true),
        (&[("X-Forwarded-For", "")], true),
        (&[("X-Forwarded-For", "10.0.0.2")], true),
        (&[("X-Forwarded-For", "192.0.2.1")], false),
        (&[("X-Forwarded-For", "unknown")], false),
        (&[("Forwarded", "for=unknown")], false),
        (
            &[
                ("Forwarded", "for=10.0.0.2"),
                ("X-Forwarded-For", "10.0.0.3"),
            ],
            false,
        ),
        (
            &[("Forwarded", "for=10.0.0.2"), ("X-Forwarded-For", "")],
            false,
        ),
    ] {
        assert_eq!(find(fields).1, is_proxy, "{fields:?}");
    }
}

mod property {
    use proptest::prelude::*;

    use super::*;

    fn hostile() -> impl Strategy<Value = String> {
        let parts = prop::sample::select(vec![
            "for=",
            "198.51.100.9",
            "10.0.0.2",
            "\"",
            "\\",
            ",",
            ";",
            " ",
            "[",
            "]",
            ":",
            "x=",
            "unknown",
            "[fd00::1]:5",
            "a",
        ]);
        prop::collection::vec(parts, 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn a_client_never_chooses_its_address_if_the_proxy_appends_the_true_one(
            written in prop::collection::vec(hostile(), 0..3),
            other in prop::option::of(hostile()),
            is_standard: bool,
            joins: bool,
        ) {
            let (name, unused, added) = if is_standard {
                ("Forwarded", "X-Forwarded-For", "for=\"192.0.2.1:7\";proto=http")
            } else {
                ("X-Forwarded-For", "Forwarded", "192.0.2.1:7")
            };
            let mut lines = written;
            match lines.last_mut() {
                Some(last) if joins => *last = format!("{last}, {added}"),
                _ => lines.push(added.to_owned()),
            }
            let mut fields: Vec<_> = lines.iter().map(|line| (name, line.as_str())).collect();
            if let Some(other) = &other {
                // The proxy passes the field that it does not know on.
                fields.insert(0, (unused, other));
                prop_assert!(["192.0.2.1:7", "192.0.2.1:0", PROXY].contains(&&*find(&fields).0), "{:?}", fields);
            } else {
                assert_client(&fields, "192.0.2.1:7");
            }
        }

        #[test]
        fn holds_for_any_fields(input in prop::collection::vec(any::<u8>(), 0..100)) {
            forwarded(&input);
        }

        #[test]
        fn holds_for_fields_that_are_nearly_right(written in hostile(), flags: u8) {
            forwarded(&[&[flags], written.as_bytes()].concat());
        }
    }

    #[test]
    fn holds_for_the_corpus() {
        crate::http::properties::replay("forwarded", forwarded);
    }
}
