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
mod tests;
