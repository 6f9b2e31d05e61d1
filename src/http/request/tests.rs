use super::*;
use crate::http::head::{HeadSearch, HeadSpan};

mod meaning;
mod repeated;
mod search;

/// Finds and reads the head at the start of `bytes` as a connection does; `None` where it is not complete.
fn read_with<R>(
    bytes: &[u8],
    config: &ServerConfig,
    look: impl FnOnce(&Request<'_>) -> R,
) -> Result<Option<R>, RequestError> {
    Request::find(
        bytes,
        &mut HeadSearch::default(),
        &mut Storage::default(),
        config,
    )
    .map(|found| found.map(|(request, _)| look(&request)))
}

fn read<R>(bytes: &[u8], look: impl FnOnce(&Request<'_>) -> R) -> Result<R, RequestError> {
    let bytes = bytes.to_vec();
    read_with(&bytes, &ServerConfig::default(), look)
        .map(|request| request.unwrap_or_else(|| panic!("incomplete: {}", bytes.escape_ascii())))
}

/// Reads a request of one line and `fields`, each of them with its line end.
fn read_fields<R>(
    version: &str,
    fields: &str,
    look: impl FnOnce(&Request<'_>) -> R,
) -> Result<R, RequestError> {
    read(
        format!("POST / HTTP/{version}\r\n{fields}\r\n").as_bytes(),
        look,
    )
}

#[test]
fn request_lines_are_read_as_http_server_reads_them() {
    use Version::{Http09, Http10, Http11};
    let table = [
        ("GET / HTTP/1.1", "GET", "/", Http11),
        ("GET  \t /x\tHTTP/1.1 \t ", "GET", "/x", Http11),
        ("get /x?y#z HTTP/1.0", "get", "/x?y#z", Http10),
        (
            "S!#$%&'*+-.^_`|~9 / HTTP/1.1",
            "S!#$%&'*+-.^_`|~9",
            "/",
            Http11,
        ),
        ("GET /é%zz HTTP/1.1", "GET", "/é%zz", Http11),
        ("GET / HTTP/1.2", "GET", "/", Http11),
        ("GET / HTTP/1.9", "GET", "/", Http11),
        ("GET / HTTP/0.9", "GET", "/", Http09),
        ("GET /x", "GET", "/x", Http09),
        ("GET /x \t", "GET", "/x", Http09),
    ];
    for (line, command, path, version) in table {
        for end in ["\r\n", "\n"] {
            let head = format!("{line}{end}Host: h{end}{end}");
            let seen = read(head.as_bytes(), |request| {
                assert_eq!(request.requestline, line.as_bytes());
                (
                    request.command.to_owned(),
                    String::from_utf8(request.path.to_vec()).unwrap(),
                    request.meaning.version,
                )
            });
            assert_eq!(
                seen,
                Ok((command.to_owned(), path.to_owned(), version)),
                "{line:?}"
            );
        }
    }
}

#[test]
fn request_lines_are_refused_for_what_is_wrong_with_them() {
    use RequestError::{RequestLine, Target, Version, VersionNotSupported};
    let table: [(&[u8], RequestError); 38] = [
        (b"GET", RequestLine),
        (b"GET / HTTP/1.1 x", RequestLine),
        (b"GET /a b HTTP/1.1", RequestLine),
        (b" GET / HTTP/1.1", RequestLine),
        (b"\tGET / HTTP/1.1", RequestLine),
        (b"G@T / HTTP/1.1", RequestLine),
        (b"GET\x01 / HTTP/1.1", RequestLine),
        (b"GET\r / HTTP/1.1", RequestLine),
        (b"\rGET / HTTP/1.1", RequestLine),
        (b"G\xc3\x89T / HTTP/1.1", RequestLine),
        (b"HEAD /", RequestLine),
        (b"POST / HTTP/0.9", RequestLine),
        (b"GET /\0 HTTP/1.1", Target),
        (b"GET /\x0b HTTP/1.1", Target),
        (b"GET /\x7f HTTP/1.1", Target),
        (b"GET /\r HTTP/1.1", Target),
        (b"GET /\xff HTTP/1.1", Target),
        (b"GET / http/1.1", Version),
        (b"GET / Http/1.1", Version),
        (b"GET / HTTP/1", Version),
        (b"GET / HTTP/1.", Version),
        (b"GET / HTTP/.1", Version),
        (b"GET / HTTP/1.x", Version),
        (b"GET / HTTP/1.1.1", Version),
        (b"GET / HTTP/+1.1", Version),
        (b"GET / HTTP/0.8", Version),
        (b"GET / HTTPS/1.1", Version),
        (b"GET / HTTP/1.1\r", Version),
        (b"GET / HTTP/1.1\x0b", Version),
        (b"GET / HTTP/1.10", Version),
        (b"GET / HTTP/1.999", Version),
        (b"GET / HTTP/01.1", Version),
        (b"GET / HTTP/11.1", Version),
        (b"GET / HTTP/2.00", Version),
        (b"GET / HTTP/99999999999999999999999.0", Version),
        (b"GET / HTTP/1\xb7.1", Version),
        (b"GET / HTTP/2.0", VersionNotSupported),
        (b"GET / HTTP/9.9", VersionNotSupported),
    ];
    for (line, expected) in table {
        let head = [line, b"\r\nHost: h\r\n\r\n"].concat();
        let found = read_with(&head, &ServerConfig::default(), |_| ());
        assert_eq!(found, Err(expected), "{}", line.escape_ascii());
    }
}

#[test]
fn http09_can_be_switched_off() {
    let config = ServerConfig {
        http09: false,
        ..ServerConfig::default()
    };
    assert_eq!(
        read_with(b"GET /\n", &config, |_| ()),
        Err(RequestError::RequestLine)
    );
}

#[test]
fn targets_are_reduced_to_origin_form() {
    let table = [
        ("GET", "/a//b?c//d", Some("/a//b?c//d")),
        ("GET", "//evil.example/x", Some("/evil.example/x")),
        ("GET", "////", Some("/")),
        ("GET", "http://h/x?y", Some("/x?y")),
        ("GET", "hTTp://[::1]:80//x", Some("/x")),
        ("GET", "https://h", Some("/")),
        ("GET", "http://h?y", Some("/?y")),
        ("GET", "http://h#z", Some("/#z")),
        ("OPTIONS", "http://h", Some("*")),
        ("OPTIONS", "*", Some("*")),
        ("OPTIONS", "/x", Some("/x")),
        ("CONNECT", "h:443", Some("h:443")),
        ("GET", "*", None),
        ("GET", "h:443", None),
        ("GET", "x", None),
        ("GET", "?x", None),
        ("GET", "ftp://h/x", None),
        ("GET", "http:/x", None),
        ("GET", "http:///x", None),
        ("GET", "http://:80/x", None),
        ("GET", "https://:", None),
        ("OPTIONS", "http://:80", None),
        ("GET", "http://[]/x", None),
        ("GET", "http://h:/x", Some("/x")),
        ("GET", "http://?x", None),
        ("GET", "http://user@h/x", None),
        ("GET", "http://h\\x/", None),
        ("GET", "httpé//h/", None),
    ];
    for (command, target, expected) in table {
        let head = format!("{command} {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        let path = read(head.as_bytes(), |request| {
            String::from_utf8(request.path.to_vec()).unwrap()
        });
        let expected = expected.map(str::to_owned).ok_or(RequestError::Target);
        assert_eq!(path, expected, "{command} {target}");
    }
}

#[test]
fn field_lines_that_two_readers_understand_differently_are_refused() {
    for line in [
        "Host : h",
        "A\t: b",
        " A: b",
        "A: b\r\n c",
        "A: b\r\n\tc",
        "A",
        "A b",
        ": b",
        "A\0: b",
        "A: b\0c",
        "A: b\rc",
        "A: b\r",
        "A\r: b",
        "\r",
        "A: b\x0b",
        "A: b\x7f",
        "A: b\x1b[2J",
        "A(b): c",
        "\u{e9}: c",
    ] {
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{line}\r\nB: c\r\n\r\n");
        let found = read(head.as_bytes(), |_| ());
        assert_eq!(found, Err(RequestError::FieldLine), "{line:?}");
    }
}

#[test]
fn field_values_are_bytes_without_the_blanks_around_them() {
    let head = b"GET / HTTP/1.1\nHost: h\nA: \t b\tc \t\na:\r\nX: \xff\n\n";
    let fields = read(head, |request| {
        let field = |(name, value): (&str, &[u8])| (name.to_owned(), value.to_vec());
        request.headers.iter().map(field).collect::<Vec<_>>()
    });
    let expected = [
        ("Host", b"h".as_slice()),
        ("A", b"b\tc"),
        ("a", b""),
        ("X", b"\xff"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_vec()));
    assert_eq!(fields, Ok(expected.to_vec()));
}

#[test]
fn a_refused_head_still_shows_its_request_line() {
    let table = [
        ("GET /x HTTP/1.1\r\nA", "GET /x HTTP/1.1", ""),
        ("\r\n\nHEAD  / HTTP/9\nA", "HEAD  / HTTP/9", "HEAD"),
        ("HEADER / HTTP/9", "HEADER / HTTP/9", ""),
        ("\r\n\r\n", "", ""),
    ];
    for (head, requestline, command) in table {
        let refused = Request::refused(head.as_bytes());
        assert_eq!(refused.requestline, requestline.as_bytes());
        assert_eq!(refused.command, command);
        assert!(!refused.meaning.keep_alive);
    }
}

#[test]
fn every_refusal_has_its_status() {
    use RequestError::{
        ChunkedBody, ContentLength, Expectation, FieldLine, HeadTooLarge, Host, RequestLine,
        RequestLineTooLong, Target, Timeout, TooManyFields, TransferEncoding, UnknownCoding,
        Version, VersionNotSupported,
    };
    let table = [
        (400, vec![RequestLine, Target, Version, FieldLine, Host]),
        (400, vec![ContentLength, TransferEncoding, ChunkedBody]),
        (408, vec![Timeout]),
        (414, vec![RequestLineTooLong]),
        (417, vec![Expectation]),
        (431, vec![HeadTooLarge, TooManyFields]),
        (501, vec![UnknownCoding]),
        (505, vec![VersionNotSupported]),
    ];
    for (code, errors) in table {
        for error in errors {
            assert_eq!(error.status().code(), code, "{error:?}");
        }
    }
}
