//! Heads that repeat everything but the target.

use proptest::prelude::*;

use super::search::fragments;
use super::*;

#[test]
fn a_tail_that_was_seen_before_excuses_no_request_line() {
    let config = ServerConfig::default();
    let read = |line: &str, storage: &mut Storage| {
        let head = format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n");
        let found = Request::find(
            head.as_bytes(),
            &mut HeadSearch::default(),
            storage,
            &config,
        );
        format!("{found:?}")
    };
    for line in [
        "GET /b",
        "X *",
        "OPTIONS *",
        "CONNECT h:1",
        "CONNECT ",
        "GET ",
        "GET",
        " /",
        " ",
        "",
        "G(T /",
        "GET  /",
        "GET /a b",
        "GET /\x7f",
        "GET /\0",
        "GET /é",
        "GET\t/",
        "GET x",
        "GET //b",
        "GET http://h",
    ] {
        let mut storage = Storage::default();
        read("GET /a", &mut storage);
        let fresh = read(line, &mut Storage::default());
        assert_eq!(read(line, &mut storage), fresh, "{line}");
    }
}

/// Heads that have much in common with each other.
fn similar() -> impl Strategy<Value = Vec<u8>> {
    let start = prop_oneof![
        2 => "(GET|HEAD|OPTIONS) /[ab]?",
        1 => "(GET|OPTIONS|CONNECT|) (/|\\*|http://h|/é|/\x7f|)",
        1 => "(GET|\\(|) ?/?",
    ];
    let tail = prop_oneof![
        9 => Just(" HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n"),
        1 => Just(" HTTP/1.1\r\nHost: h\r\nA: bc\r\n\r\n"),
        1 => Just(" HTTP/1.1\r\nHost: h\r\n\r\nA: b\r\n\r\n"),
        1 => Just(" HTTP/1.1\nHost: h\nA: b\n\n"),
        1 => Just(" HTTP/1.0\r\nHost: h\r\nA: b\r\n\r\n"),
        1 => Just(" HTTP/1.1\r\nHost: h\r\nA: b\r\n"),
        1 => Just(" HTTP/1.1\r\nA: b\r\n\r\n"),
    ];
    (start, tail).prop_map(|(start, tail)| (start + tail).into_bytes())
}

proptest! {
    #[test]
    fn a_head_means_the_same_whatever_was_read_before(
        heads in prop::collection::vec(prop_oneof![1 => fragments(), 4 => similar()], 2..6),
        max_request_line in prop_oneof![Just(8192_usize), 10_usize..40],
    ) {
        let config = ServerConfig { max_request_line, ..ServerConfig::default() };
        let mut storage = Storage::default();
        let find = |head: &[u8], storage: &mut Storage| {
            format!("{:?}", Request::find(head, &mut HeadSearch::default(), storage, &config))
        };
        for head in &heads {
            prop_assert_eq!(find(head, &mut storage), find(head, &mut Storage::default()));
        }
    }
}
