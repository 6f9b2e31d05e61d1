//! Where a head ends: at every split, at every limit, and in bytes that are not a head.

use proptest::prelude::*;

use super::*;

/// The first result of a search to which `bytes` come in pieces that end at `ends`, and then whole.
fn search_in_pieces(
    bytes: &[u8],
    ends: impl IntoIterator<Item = usize>,
    config: &ServerConfig,
) -> Result<Option<HeadSpan>, RequestError> {
    let mut search = HeadSearch::default();
    for end in ends.into_iter().chain([bytes.len()]) {
        if let Some(span) = search.search(&bytes[..end], config)? {
            return Ok(Some(span));
        }
    }
    Ok(None)
}

#[test]
fn a_head_ends_where_its_empty_line_does() {
    let table: [(&str, usize, usize); 9] = [
        ("GET / HTTP/1.1\r\n\r\n", 0, 18),
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET", 0, 27),
        ("GET / HTTP/1.1\nHost: h\nA: b\n\nxyz", 0, 29),
        ("GET / HTTP/1.1\r\nHost: h\n\r\n", 0, 26),
        ("\r\n\n\r\n\nGET / HTTP/1.1\r\n\r\n", 6, 24),
        ("GET /\r\nHost: h\r\n\r\n", 0, 7),
        ("\nGET  /x\t\nrest", 1, 10),
        ("GET\r\n\r\n", 0, 7),
        ("GET / HTTP/1.1 x\n\n", 0, 18),
    ];
    for (bytes, start, end) in table {
        let span = HeadSpan { start, end };
        let config = ServerConfig::default();
        let whole = search_in_pieces(bytes.as_bytes(), [], &config);
        assert_eq!(whole, Ok(Some(span)), "{bytes:?}");
        let dripped = search_in_pieces(bytes.as_bytes(), 0..bytes.len(), &config);
        assert_eq!(dripped, whole, "{bytes:?} byte by byte");
        for split in 0..bytes.len() {
            let split_once = search_in_pieces(bytes.as_bytes(), [split], &config);
            assert_eq!(split_once, whole, "{bytes:?} at {split}");
        }
    }
}

#[test]
fn a_head_without_its_end_is_waited_for() {
    for bytes in [
        "",
        "\r",
        "\r\n",
        "\r\n\n\r\n\n",
        "G",
        "GET /",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\n\r",
        "GET / HTTP/1.1\r\nHost: h\r\n \r\n",
    ] {
        let config = ServerConfig::default();
        let found = search_in_pieces(bytes.as_bytes(), 0..bytes.len(), &config);
        assert_eq!(found, Ok(None), "{bytes:?}");
    }
}

#[test]
fn five_empty_lines_are_one_too_many() {
    for bytes in ["\r\n\r\n\r\n\r\n\r\n", "\n\n\n\n\nGET / HTTP/1.1\n\n"] {
        let config = ServerConfig::default();
        let whole = search_in_pieces(bytes.as_bytes(), [], &config);
        assert_eq!(whole, Err(RequestError::RequestLine));
        assert_eq!(
            search_in_pieces(bytes.as_bytes(), 0..bytes.len(), &config),
            whole
        );
    }
}

#[test]
fn what_cannot_become_a_request_is_refused_at_its_first_byte() {
    for bytes in [
        b"\x16\x03\x01\x02\0".as_slice(),
        b" ",
        b"\0",
        b"\x80",
        b"{",
        b"\r\n\x16",
    ] {
        let found = HeadSearch::default().search(bytes, &ServerConfig::default());
        assert_eq!(
            found,
            Err(RequestError::RequestLine),
            "{}",
            bytes.escape_ascii()
        );
    }
}

/// A slow sender of a long line cannot make the search quadratic.
#[test]
fn what_was_searched_is_not_searched_again() {
    let config = ServerConfig::default();
    for first in [
        "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nA: b",
    ] {
        let mut search = HeadSearch::default();
        assert_eq!(search.search(first.as_bytes(), &config), Ok(None));
        // If the search looked at these bytes again, it would find the end of a head here.
        let mut bytes = vec![b'\n'; first.len()];
        bytes.extend_from_slice(b"C: d\r\n\r\n");
        let found = search.search(&bytes, &config).unwrap();
        assert_eq!(found.map(|span| span.end), Some(bytes.len()), "{first:?}");
    }
}

/// `lines`, a field that fills up, and the empty line: `length` bytes in all.
fn head_of(length: usize, mut lines: String) -> String {
    let rest = length - lines.len() - "A: \r\n\r\n".len();
    lines += &format!("A: {}\r\n\r\n", "x".repeat(rest));
    lines
}

fn line_of(length: usize) -> String {
    let rest = length - "GET / HTTP/1.1\r\n".len();
    format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(rest))
}

#[test]
fn limits_hold_to_the_byte() {
    let config = ServerConfig::default();
    let start = || "GET / HTTP/1.1\r\nHost: h\r\n".to_owned();
    let table = [
        (line_of(8 * 1024), None),
        ("\r\n\n".to_owned() + &line_of(8 * 1024), None),
        (
            line_of(8 * 1024 + 1),
            Some(RequestError::RequestLineTooLong),
        ),
        (head_of(32 * 1024, start()), None),
        (
            head_of(32 * 1024 + 1, start()),
            Some(RequestError::HeadTooLarge),
        ),
        (start() + &"A:\r\n".repeat(99) + "\r\n", None),
        (
            start() + &"A:\r\n".repeat(100) + "\r\n",
            Some(RequestError::TooManyFields),
        ),
    ];
    for (head, expected) in table {
        let found = read_with(head.as_bytes(), &config, |_| ());
        assert_eq!(found.err(), expected, "{} bytes, {:.40}", head.len(), head);
    }
}

#[test]
fn limits_do_not_wait_for_a_line_to_end() {
    let config = ServerConfig::default();
    let search = |bytes: &str| HeadSearch::default().search(bytes.as_bytes(), &config);
    let line = "x".repeat(8 * 1024);
    assert_eq!(search(&line), Ok(None));
    assert_eq!(
        search(&format!("{line}x")),
        Err(RequestError::RequestLineTooLong)
    );
    let head = format!("{:x<32768}", "GET / HTTP/1.1\r\nA: ");
    assert_eq!(search(&head), Ok(None));
    assert_eq!(search(&format!("{head}x")), Err(RequestError::HeadTooLarge));
}

/// The reply must not depend on how the network cuts the bytes of the peer.
#[test]
fn limits_are_the_same_wherever_the_bytes_are_cut() {
    let config = ServerConfig {
        max_request_line: 40,
        max_head: 64,
        ..ServerConfig::default()
    };
    let lines = (38..43).map(line_of);
    let heads = (60..70).map(|length| head_of(length, "GET / HTTP/1.1\r\nHost: h\r\n".to_owned()));
    for head in lines.chain(heads) {
        let whole = search_in_pieces(head.as_bytes(), [], &config);
        for split in 0..head.len() {
            assert_eq!(
                search_in_pieces(head.as_bytes(), [split], &config),
                whole,
                "{head:?}, {} bytes, cut at {split}",
                head.len()
            );
        }
    }
}

/// Pieces that both honest and hostile heads are made of.
pub(super) fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b"GET ",
        b"POST ",
        b"/",
        b"/x ",
        b"http://h/ ",
        b"* ",
        b"HTTP/1.1",
        b"HTTP/1.0",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"\t",
        b":",
        b"Host: h",
        b"Host: h\r\n",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"A: b\r\n",
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n",
        b"\x80",
        b"x",
    ];
    let piece = prop_oneof![
        9 => prop::sample::select(pieces).prop_map(<[u8]>::to_vec),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    let start = prop_oneof![Just(""), Just("GET / HTTP/1.1\r\nHost: h\r\n")];
    (start, prop::collection::vec(piece, 0..16))
        .prop_map(|(start, pieces)| [start.as_bytes(), &pieces.concat()].concat())
}

proptest! {
    #[test]
    fn any_bytes_are_a_request_or_refused_and_never_a_panic(
        bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), fragments()],
    ) {
        let Ok(Some(span)) = HeadSearch::default().search(&bytes, &ServerConfig::default()) else {
            return Ok(());
        };
        let head = &bytes[span.start..span.end];
        if read_with(&bytes, &ServerConfig::default(), |_| ()).is_ok() {
            prop_assert!(!head.contains(&0));
            for (at, _) in head.iter().enumerate().filter(|(_, byte)| **byte == b'\r') {
                prop_assert_eq!(head.get(at + 1), Some(&b'\n'));
            }
        }
    }

    #[test]
    fn the_usual_way_says_what_the_careful_one_does_or_nothing(
        bytes in fragments(),
        max_request_line in prop_oneof![Just(8192_usize), 10_usize..40],
        max_head in prop_oneof![Just(32768_usize), 15_usize..60],
    ) {
        let config = ServerConfig { max_request_line, max_head, ..ServerConfig::default() };
        let mut storage = Storage::default();
        let Some(usual) = find_usual(&bytes, &mut storage, &config) else {
            return Ok(());
        };
        let end = usual.usual_length();
        let usual = Ok::<_, RequestError>(Request::new(usual, &storage));
        let span = HeadSpan { start: 0, end };
        prop_assert_eq!(HeadSearch::default().search(&bytes, &config), Ok(Some(span)));
        let mut storage = Storage::default();
        let careful = parse_careful(&bytes[..end], &mut storage, &config)
            .map(|found| Request::new(found, &storage));
        prop_assert_eq!(format!("{usual:?}"), format!("{careful:?}"));
    }

    #[test]
    fn any_bytes_are_understood_alike_wherever_they_are_cut(
        bytes in fragments(),
        mut ends in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let config = ServerConfig::default();
        let mut ends: Vec<_> = ends.drain(..).map(|end| end.index(bytes.len() + 1)).collect();
        ends.sort_unstable();
        let parse = |span: HeadSpan| {
            let head = &bytes[span.start..span.end];
            read_with(head, &config, |request| (request.meaning.framing, request.meaning.keep_alive))
                .map(|meaning| (span, meaning.unwrap()))
        };
        let outcome = |found: Result<Option<HeadSpan>, RequestError>| {
            found.and_then(|span| span.map(parse).transpose())
        };
        let whole = outcome(search_in_pieces(&bytes, [], &config));
        prop_assert_eq!(outcome(search_in_pieces(&bytes, ends, &config)), whole);
    }
}
