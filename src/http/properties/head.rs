//! Properties of request heads: a head is found and parsed to the same request however it is cut; an accepted head has the
//! meaning of its lines; a plain request is accepted.

use super::take_cuts;
use crate::config::ServerConfig;
use crate::http::framing::Framing;
use crate::http::head::{HeadSearch, HeadSpan, MAX_FIELDS};
use crate::http::request::{Request, RequestError, Version};
use crate::http::storage::Storage;
use crate::http::token::is_token_byte;

/// What is at the front of the bytes of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Front {
    Incomplete,
    Refused(RequestError),
    Head(ExpectedHead),
}

/// A head that was accepted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ExpectedHead {
    start: usize,
    pub(crate) end: usize,
    pub(crate) command: String,
    pub(crate) path: String,
    pub(crate) version: Version,
    fields: Vec<(String, Vec<u8>)>,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
}

/// Reads the head at the front of `bytes`, which arrive in pieces that end at `cuts` and at the end of `bytes`.
pub(crate) fn front(bytes: &[u8], cuts: &[usize], config: &ServerConfig) -> Front {
    front_after(&mut Storage::default(), bytes, cuts, config)
}

/// Does the same with a `storage` that may remember the head or parts of it.
fn front_after(
    storage: &mut Storage,
    bytes: &[u8],
    cuts: &[usize],
    config: &ServerConfig,
) -> Front {
    let mut search = HeadSearch::default();
    for end in cuts.iter().copied().chain([bytes.len()]) {
        match Request::find(&bytes[..end], &mut search, storage, config) {
            Ok(None) => {}
            Ok(Some((request, span))) => return Front::Head(ExpectedHead::new(&request, span)),
            Err(error) => return Front::Refused(error),
        }
    }
    Front::Incomplete
}

impl ExpectedHead {
    fn new(request: &Request<'_>, span: HeadSpan) -> Self {
        let fields = request.headers.iter();
        Self {
            start: span.start,
            end: span.end,
            command: request.command.to_owned(),
            path: String::from_utf8(request.path.to_vec()).unwrap(),
            version: request.meaning.version,
            fields: fields
                .map(|(name, value)| (name.to_owned(), value.to_vec()))
                .collect(),
            framing: request.meaning.framing,
            keep_alive: request.meaning.keep_alive,
            expects_continue: request.meaning.expects_continue,
        }
    }

    /// Returns the values of a field, in lower case.
    fn values(&self, name: &str) -> Vec<String> {
        self.fields
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| String::from_utf8_lossy(value).to_ascii_lowercase())
            .collect()
    }
}

/// Checks the properties; the first bytes of `input` tell how low the limits are and how the rest is cut.
pub fn head(mut input: &[u8]) {
    let config = match super::take_byte(&mut input) % 2 {
        0 => ServerConfig::default(),
        _ => ServerConfig {
            max_request_line: 64,
            max_head: 200,
            ..ServerConfig::default()
        },
    };
    let (cuts, bytes) = take_cuts(&mut input);
    let whole = front(bytes, &[], &config);
    assert_eq!(front(bytes, &cuts, &config), whole, "cut at {cuts:?}");
    let mut storage = Storage::default();
    for _ in 0..2 {
        let again = front_after(&mut storage, bytes, &cuts, &config);
        assert_eq!(again, whole, "the same head again");
    }
    // An empty line before the head is accepted, but disables the fast path for usual heads.
    if bytes.first().is_some_and(|first| is_token_byte(*first)) {
        let mut on_slow_path = front(&[b"\n", bytes].concat(), &[], &config);
        if let Front::Head(head) = &mut on_slow_path {
            head.start -= 1;
            head.end -= 1;
        }
        assert_eq!(on_slow_path, whole);
    }
    match whole {
        Front::Head(head) => {
            let alone = front(&bytes[..head.end], &[], &config);
            assert_means_its_lines(&head, &bytes[head.start..head.end], &config);
            assert_eq!(
                alone,
                Front::Head(head),
                "bytes after the head do not matter"
            );
        }
        other => assert!(!is_plain(bytes, &config), "{other:?}"),
    }
}

/// Reads the lines of an accepted head in the plainest way and compares.
fn assert_means_its_lines(head: &ExpectedHead, bytes: &[u8], config: &ServerConfig) {
    assert!(bytes.len() <= config.max_head);
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    assert_eq!(
        lines.pop(),
        Some(b"".as_slice()),
        "the last line ends with a newline"
    );
    for line in &mut lines {
        *line = line.strip_suffix(b"\r").unwrap_or(line);
        assert!(!line.iter().any(|byte| matches!(byte, b'\r' | 0)));
    }
    let first = String::from_utf8(lines.remove(0).to_vec()).unwrap();
    assert!(first.len() < config.max_request_line);
    let words: Vec<_> = first.split([' ', '\t']).filter(|w| !w.is_empty()).collect();
    let version = match words[2..] {
        [] => Version::Http09,
        [version] => read_version(version),
        ref other => panic!("{other:?}"),
    };
    assert_eq!((words[0], version), (head.command.as_str(), head.version));
    assert_path(head, words[1]);
    if words.len() > 2 {
        assert_eq!(
            lines.pop(),
            Some(b"".as_slice()),
            "an empty line ends the head"
        );
    }
    let fields: Vec<_> = lines.into_iter().map(read_field).collect();
    assert_eq!(fields, head.fields);
    assert!(fields.len() <= MAX_FIELDS);
    assert_framing(head);
    assert_persistence(head);
}

/// Reads a version: a digit, a dot and a digit (RFC 9112 §2.3).
fn read_version(word: &str) -> Version {
    let (major, minor) = word.strip_prefix("HTTP/").unwrap().split_once('.').unwrap();
    assert_eq!((major.len(), minor.len()), (1, 1), "{word}");
    match (major, minor.parse::<u8>().unwrap()) {
        ("0", 9) => Version::Http09,
        ("1", 0) => Version::Http10,
        ("1", _) => Version::Http11,
        _ => panic!("{word}"),
    }
}

fn assert_path(head: &ExpectedHead, target: &str) {
    let path = head.path.as_str();
    assert!(!path.starts_with("//"), "{path}");
    assert!(!path.bytes().any(|byte| byte <= b' ' || byte == 0x7f));
    if let Some((_, rest)) = target.split_once("://")
        && !target.starts_with('/')
        && head.command != "CONNECT"
    {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        assert!(
            !authority.is_empty() && !authority.starts_with(':'),
            "{target}"
        );
    }
    // The path of an absolute target may be empty.
    assert!(path == "*" || target.ends_with(path.strip_prefix('/').unwrap_or(path)));
    match head.command.as_str() {
        "CONNECT" => {}
        "OPTIONS" if path == "*" => {}
        _ => assert!(path.starts_with('/'), "{path}"),
    }
}

fn read_field(line: &[u8]) -> (String, Vec<u8>) {
    let colon = line.iter().position(|byte| *byte == b':').unwrap();
    let name = String::from_utf8(line[..colon].to_vec()).unwrap();
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    assert!(!name.is_empty() && name.chars().all(is_token), "{name:?}");
    (name, line[colon + 1..].trim_ascii().to_vec())
}

/// Checks against request smuggling: a parser that reads only one of the fields must find the same end of the body.
fn assert_framing(head: &ExpectedHead) {
    let lengths = head.values("content-length");
    let codings = head.values("transfer-encoding").join(",");
    let codings: Vec<_> = members(&codings).filter(|c| !c.is_empty()).collect();
    match head.framing {
        Framing::Chunked => {
            assert_eq!((codings, lengths.len()), (vec!["chunked"], 0));
            assert_eq!(head.version, Version::Http11);
        }
        Framing::Length(length) => {
            assert!(head.values("transfer-encoding").is_empty());
            assert!(length == 0 || !lengths.is_empty());
            for digits in lengths {
                assert!(!digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()));
                // A number beyond 64 bits is beyond every limit.
                assert_eq!(digits.parse().unwrap_or(u64::MAX), length);
            }
        }
    }
}

/// Returns the members of a list, without the spaces and tabs around them.
fn members(list: &str) -> impl Iterator<Item = &str> {
    list.split(',')
        .map(|member| member.trim_matches([' ', '\t']))
}

fn assert_persistence(head: &ExpectedHead) {
    let is_old = head.version < Version::Http11;
    match head.values("host").as_slice() {
        [] => assert!(is_old),
        [host] => assert!(is_old || !host.is_empty() && !host.starts_with(':')),
        more => panic!("{more:?}"),
    }
    let options = head.values("connection").join(",");
    let has_option = |option| members(&options).any(|token| token == option);
    let keeps = match head.version {
        Version::Http09 => false,
        Version::Http10 => has_option("keep-alive"),
        Version::Http11 => true,
    };
    assert_eq!(head.keep_alive, keeps && !has_option("close"));
    let expects = head
        .values("expect")
        .last()
        .is_some_and(|value| value == "100-continue");
    assert_eq!(
        head.expects_continue,
        expects && head.version == Version::Http11
    );
}

/// Returns whether `bytes` begin with a plain request, which a server has no reason to refuse.
fn is_plain(bytes: &[u8], config: &ServerConfig) -> bool {
    let Some(length) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return false;
    };
    let Ok(text) = str::from_utf8(&bytes[..length]) else {
        return false;
    };
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let words: Vec<_> = first.split(' ').collect();
    let is_plain_line = matches!(words[..], [method, target, "HTTP/1.1"]
        if !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase())
            && target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic()));
    let is_within = length + 4 <= config.max_head && first.len() + 2 <= config.max_request_line;
    let mut framings = 0;
    let mut hosts = 0;
    let mut fields = 0;
    let is_plain_field = |line: &str| {
        fields += 1;
        let Some((name, value)) = line.split_once(": ") else {
            return false;
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_value = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        !name.is_empty()
            && name.bytes().all(is_name)
            && value.bytes().all(is_value)
            && match name.to_ascii_lowercase().as_str() {
                "host" => {
                    hosts += 1;
                    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric())
                }
                "content-length" => {
                    framings += 1;
                    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())
                }
                "transfer-encoding" => {
                    framings += 1;
                    value == "chunked"
                }
                "expect" => value == "100-continue",
                _ => true,
            }
    };
    let are_plain_fields = lines.all(is_plain_field);
    is_plain_line
        && is_within
        && are_plain_fields
        && hosts == 1
        && framings <= 1
        && fields <= MAX_FIELDS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::properties::nearly;

    /// A head in which every line is valid; lines may contradict each other.
    fn lines() -> impl Strategy<Value = Vec<u8>> {
        let start = prop_oneof![
            4 => "[A-Z]{1,7} /[!-~]{0,9} HTTP/1\\.1\r\nHost: h\r\n",
            1 => "(\r?\n)?[A-Z]{1,7}[ \t]{1,2}/[!-~]{0,9} HTTP/1\\.[01]\r?\n",
            1 => "(GET|OPTIONS|CONNECT) (//|http://h|\\*|h:1)[!-~]{0,9} HTTP/1\\.1\nHost:h\n",
            1 => "GET (http://:?[0h]{0,2})?/ HTTP/1\\.[01]\r\nHost: ?:?[0h]{0,2}\r\n",
        ];
        let field = prop_oneof![
            1 => Just("Host: h"),
            1 => Just("Connection: close"),
            1 => Just("Connection:x, keep-alive"),
            2 => Just("Content-Length: 5"),
            1 => Just("Content-Length:05"),
            2 => Just("Transfer-Encoding: chunked"),
            1 => Just("Transfer-Encoding: gzip"),
            1 => Just("Expect: 100-continue"),
            2 => Just("X:"),
        ];
        let field = (field, "\r?\n").prop_map(|(field, end)| field.to_owned() + &end);
        (start, prop::collection::vec(field, 0..5))
            .prop_map(|(start, fields)| (start + &fields.concat() + "\r\n").into_bytes())
    }

    proptest! {
        #[test]
        fn holds_for_lines(narrow: bool, cuts: [u8; 7], lines in nearly(lines())) {
            head(&[&[narrow.into(), 7], cuts.as_slice(), &lines].concat());
        }

        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..300)) {
            head(&input);
        }
    }

    #[test]
    fn holds_for_the_corpus() {
        super::super::replay("head", head);
    }
}
