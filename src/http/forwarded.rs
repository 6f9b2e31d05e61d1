//! The client of a request that came through proxies: `Forwarded` (RFC 7239) and `X-Forwarded-For`.
//!
//! Invariant: both fields are read from the right, where the nearest proxy has written, and never beyond an address that is not
//! trusted or an element that names none. What a client writes stands further left, so it cannot choose its own address.

use std::borrow::Cow;
use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::headers::Headers;
use super::token::is_token;
use crate::config::TrustedProxy;

/// The client of a request, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FoundClient {
    pub(crate) address: SocketAddr,
    /// Whether the address is that of a proxy because no field names another one: such a request is the proxy's own, a check of
    /// its health for example.
    pub(crate) is_proxy: bool,
}

/// Finds the client of a request that came from `source`, which is a trusted proxy.
///
/// It is the right-most address that is not trusted; the left-most where all are. An element without an address (`unknown`, an
/// obfuscated name, or malformed) ends the search at the address to its right. Where both fields are there, so does an address
/// on which they differ, because the proxy may pass one of them on as the client wrote it.
pub(crate) fn client(
    headers: Headers<'_>,
    source: SocketAddr,
    trusted: &[TrustedProxy],
) -> FoundClient {
    let mut found = FoundClient {
        address: source,
        is_proxy: true,
    };
    for element in elements(headers) {
        let Some(address) = element else {
            found.is_proxy = false;
            break;
        };
        found.address = address;
        if !trusted.iter().any(|proxy| proxy.contains(address)) {
            found.is_proxy = false;
            break;
        }
    }
    found
}

/// Returns the elements of the fields from right to left: an address, or `None` where there is none, or not the same in both.
fn elements<'h>(headers: Headers<'h>) -> impl Iterator<Item = Option<SocketAddr>> {
    let mut forwarded = lines(headers, "forwarded")
        .flat_map(from_right)
        .map(for_address);
    let mut others = lines(headers, "x-forwarded-for")
        .flat_map(|line| line.rsplit(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
        .map(node);
    let has = |name| headers.get(name).is_some();
    let has_both = has("forwarded") && has("x-forwarded-for");
    iter::from_fn(move || match (forwarded.next(), others.next()) {
        (Some(one), Some(other)) => Some(one.filter(|one| is_same(*one, other))),
        (Some(_), None) | (None, Some(_)) if has_both => Some(None),
        (one, other) => one.or(other),
    })
}

fn is_same(one: SocketAddr, other: Option<SocketAddr>) -> bool {
    other.is_some_and(|other| other.ip() == one.ip())
}

/// Returns the values of the field `name`, the last one first.
fn lines<'h>(headers: Headers<'h>, name: &'static str) -> impl Iterator<Item = &'h [u8]> {
    let is_named = move |field: &[u8]| field.eq_ignore_ascii_case(name.as_bytes());
    let entries = headers.entries().rev();
    entries.filter_map(move |(field, value)| is_named(field).then_some(value))
}

/// Splits a value of `Forwarded` at the commas outside of quoted strings, from right to left, without empty elements.
///
/// It begins at the right, because a client may leave a quoted string open, which would take in what the proxy adds.
fn from_right(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    let elements = iter::from_fn(move || {
        let line = rest?;
        let comma = last_comma(line);
        rest = comma.and_then(|comma| line.get(..comma));
        line.get(comma.map_or(0, |comma| comma + 1)..)
    });
    elements
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Returns the position of the last comma that is not in a quoted string.
fn last_comma(line: &[u8]) -> Option<usize> {
    let mut is_quoted = false;
    for (at, byte) in line.iter().enumerate().rev() {
        match byte {
            b'"' if !is_quoted => is_quoted = true,
            b'"' => is_quoted = is_escaped(line.get(..at).unwrap_or_default()),
            b',' if !is_quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Whether what follows `before` in a quoted string is escaped: an odd number of backslashes stands before it.
fn is_escaped(before: &[u8]) -> bool {
    let slashes = before.iter().rev().take_while(|byte| **byte == b'\\');
    slashes.count() % 2 == 1
}

/// Returns the address of the `for` parameter in an element of `Forwarded`; `None` where there is no address or no single `for`,
/// or the element is malformed.
fn for_address(element: &[u8]) -> Option<SocketAddr> {
    let mut found = None;
    let mut rest = Some(element);
    while let Some(pairs) = rest {
        let (pair, behind) = split_pair(pairs)?;
        rest = behind;
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (pair.get(..equals)?, pair.get(equals + 1..)?);
        if !is_token(name) {
            return None;
        }
        let value = unquoted(value)?;
        if name.eq_ignore_ascii_case(b"for") && found.replace(node(&value)).is_some() {
            return None;
        }
    }
    found?
}

/// Splits the first pair off, at the first semicolon that is not in a quoted string; `None` where a string does not end.
fn split_pair(pairs: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let mut is_quoted = false;
    for (at, byte) in pairs.iter().enumerate() {
        match byte {
            b'"' if is_quoted => is_quoted = is_escaped(pairs.get(..at)?),
            b'"' => is_quoted = true,
            b';' if !is_quoted => {
                return Some((pairs.get(..at)?.trim_ascii(), pairs.get(at + 1..)));
            }
            _ => {}
        }
    }
    (!is_quoted).then_some((pairs.trim_ascii(), None))
}

/// Returns the text of a value, which is a quoted string or has no quotes.
///
/// Without quotes it may have more than the bytes of a token: many proxies leave the quotes of addresses with a port out.
fn unquoted(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Some(quoted) = value.strip_prefix(b"\"") else {
        return (!value.contains(&b'"') && !value.is_empty()).then_some(Cow::Borrowed(value));
    };
    let text = quoted
        .strip_suffix(b"\"")
        .filter(|text| !is_escaped(text))?;
    if !text.iter().any(|byte| matches!(byte, b'"' | b'\\')) {
        return Some(Cow::Borrowed(text));
    }
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => plain.push(*bytes.next()?),
            b'"' => return None,
            byte => plain.push(*byte),
        }
    }
    Some(Cow::Owned(plain))
}

/// Returns the address of a node: IPv4, or IPv6 with or without brackets; behind IPv4 or brackets may be a port. Without one the
/// port is 0. An address that no client has (`0.0.0.0`, `::`) is none.
fn node(text: &[u8]) -> Option<SocketAddr> {
    let text = str::from_utf8(text).ok()?;
    let (ip, port): (IpAddr, _) = if let Some(bracketed) = text.strip_prefix('[') {
        let (ip, port) = bracketed.split_once(']')?;
        (ip.parse::<Ipv6Addr>().ok()?.into(), port)
    } else if let Ok(ip) = text.parse::<Ipv6Addr>() {
        (ip.into(), "")
    } else {
        let (ip, port) = text.split_at(text.find(':').unwrap_or(text.len()));
        (ip.parse::<Ipv4Addr>().ok()?.into(), port)
    };
    let ip = ip.to_canonical();
    (!ip.is_unspecified()).then_some(SocketAddr::new(ip, self::port(port)?))
}

/// Returns the port in `:port`; 0 where there is none, or an obfuscated one. `None` where it is malformed.
fn port(text: &str) -> Option<u16> {
    if text.is_empty() {
        return Some(0);
    }
    let port = text.strip_prefix(':')?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match port.strip_prefix('_') {
        Some(name) => (!name.is_empty() && name.bytes().all(is_name)).then_some(0),
        None if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok(),
        None => None,
    }
}

#[cfg(test)]
mod tests;
