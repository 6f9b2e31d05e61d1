//! The host that a request is for, and whether this server answers for it (RFC 9110 §7.2 and §7.4).
//!
//! This check stops DNS rebinding: an attacker can make the name of another site resolve to this machine, but the browser of a
//! visitor still sends that name in Host.

use std::net::Ipv6Addr;

use memchr::memchr;

use super::request::{Request, parse_digits, words};

/// The port of `http` (RFC 9110 §4.2.1).
pub(crate) const HTTP_PORT: u16 = 80;
/// The port of `https` (RFC 9110 §4.2.2).
pub(crate) const HTTPS_PORT: u16 = 443;

/// A host that the server answers for, as the configuration names it.
#[derive(Clone, Debug)]
pub(crate) struct ServedHost {
    host: Host,
    /// The port that must match; `None` matches any port.
    port: Option<u16>,
}

#[derive(Clone, Debug)]
enum Host {
    /// A name or an IPv4 address, without a trailing dot.
    Name(String),
    Ipv6(Ipv6Addr),
}

impl ServedHost {
    /// Reads `name`, `name:port`, `[ipv6]` or `[ipv6]:port`; returns `None` for anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = split_port(text.as_bytes())?;
        if port == Some(0) || text.ends_with(':') {
            return None;
        }
        let host = match ipv6(host) {
            Some(address) => Host::Ipv6(address),
            None => Host::Name(name(host)?.to_owned()),
        };
        Some(Self { host, port })
    }

    fn matches(&self, host: &[u8], port: u16) -> bool {
        let is_host = match &self.host {
            Host::Name(name) => name.as_bytes().eq_ignore_ascii_case(without_dot(host)),
            Host::Ipv6(address) => ipv6(host) == Some(*address),
        };
        is_host && self.port.is_none_or(|served| served == port)
    }
}

/// Returns whether `request` is for one of `hosts`; a request that names no host is not. A host without a port has the `default_port`.
#[cold] // Few servers have such a list; inlined, it costs the requests of all others 8 instructions.
pub(crate) fn is_served(hosts: &[ServedHost], request: &Request<'_>, default_port: u16) -> bool {
    authority(request)
        .and_then(split_port)
        .is_some_and(|(host, port)| {
            let port = port.unwrap_or(default_port);
            hosts.iter().any(|served| served.matches(host, port))
        })
}

/// Returns the host of `request`, with `port`, as a URL with `https` has them; without a `port`, with the one that the request was sent
/// to by `http`. `None` if the request names no host, or two of them: in the target and in the Host field.
pub(crate) fn https_authority(request: &Request<'_>, port: Option<u16>) -> Option<String> {
    let authority = authority(request)?;
    let is_one = request.headers.get("host")?.eq_ignore_ascii_case(authority);
    let (host, sent_to) = split_port(authority).filter(|_| is_one)?;
    let host = match ipv6(host) {
        Some(address) => format!("[{address}]"),
        None => name(host)?.to_owned(),
    };
    Some(match port.or(sent_to).unwrap_or(HTTP_PORT) {
        HTTPS_PORT => host,
        port => format!("{host}:{port}"),
    })
}

/// Returns the host that a request is for, with its port: from the target if it has one, otherwise from the Host field
/// (RFC 9112 §3.2.2 and §3.3).
pub(crate) fn authority<'a>(request: &Request<'a>) -> Option<&'a [u8]> {
    let target = words(request.requestline).nth(1)?;
    match split_absolute(target) {
        _ if request.command == "CONNECT" => Some(target),
        Some((authority, _)) => Some(authority),
        None => request.headers.get("host"),
    }
}

/// Splits an absolute target into its authority and the rest; returns `None` for any other target.
pub(super) fn split_absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = [&b"http://"[..], b"https://"].iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })?;
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    Some(rest.split_at(end))
}

/// Splits an authority into its host, including brackets, and its port. An empty port counts as no port.
fn split_port(authority: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let end = match authority.first() {
        Some(b'[') => memchr(b']', authority)? + 1,
        _ => memchr(b':', authority).unwrap_or(authority.len()),
    };
    match authority.split_at(end) {
        (host, [] | [b':']) => Some((host, None)),
        (host, [b':', digits @ ..]) => {
            let port = u16::try_from(parse_digits(digits)?).ok()?;
            Some((host, Some(port)))
        }
        _ => None,
    }
}

/// Reads an IPv6 address in brackets.
fn ipv6(host: &[u8]) -> Option<Ipv6Addr> {
    let literal = host.strip_prefix(b"[")?.strip_suffix(b"]")?;
    str::from_utf8(literal).ok()?.parse().ok()
}

/// Reads a name: letters, digits, hyphens and underscores, in parts that are separated by dots.
fn name(host: &[u8]) -> Option<&str> {
    let name = without_dot(host);
    let is_part = |part: &[u8]| {
        let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !part.is_empty() && part.iter().all(is_allowed)
    };
    let is_name = name.split(|byte| *byte == b'.').all(is_part);
    str::from_utf8(name).ok().filter(|_| is_name)
}

/// Removes the trailing dot of a fully qualified name.
fn without_dot(host: &[u8]) -> &[u8] {
    host.strip_suffix(b".").unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::ServerConfig;
    use crate::http::head::HeadSearch;
    use crate::http::storage::Storage;

    /// Returns whether a request with this line and these fields is for one of `hosts`.
    fn is_for(hosts: &[&str], line: &str, fields: &str) -> bool {
        let hosts: Vec<_> = hosts
            .iter()
            .filter_map(|host| ServedHost::parse(host))
            .collect();
        let head = match line.contains("HTTP/") {
            true => format!("{line}\r\n{fields}\r\n"),
            false => format!("{line}\r\n"),
        };
        let (mut storage, mut search) = (Storage::default(), HeadSearch::default());
        let config = ServerConfig::default();
        let found = Request::find(head.as_bytes(), &mut search, &mut storage, &config);
        // One that is refused for its Host is for none of them.
        found.is_ok_and(|found| {
            found.is_some_and(|(request, _)| is_served(&hosts, &request, HTTP_PORT))
        })
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
}
