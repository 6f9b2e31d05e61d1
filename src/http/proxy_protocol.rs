//! The header of the PROXY protocol, by which a proxy names the client at the beginning of a connection: version 1 is a line of
//! text, version 2 is binary.
//!
//! Invariant: bytes that are wrong stay wrong with all bytes that may follow, and bytes that are right mean the same however they are cut.
//! The specification is `doc/proxy-protocol.txt` of HAProxy, sections 2.1 and 2.2.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::{FromStr, Split};

/// The longest line of version 1, with its end.
const MAX_LINE: usize = 107;
/// The longest header of version 2. Addresses take at most 232 bytes; the rest is for what is skipped, such as the names in a
/// certificate. nginx has the same limit.
const MAX_BINARY: usize = 4096;

const LINE_START: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The bytes of version 2 before the addresses: signature, version and command, family, and length.
const FIXED: usize = 16;

/// A header at the front of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProxyHeader {
    /// The client; `None` where the header names none, so that the client is the peer: the proxy's own connections (LOCAL), and
    /// those of other families (UNKNOWN, AF_UNSPEC, AF_UNIX).
    pub(crate) source: Option<SocketAddr>,
    /// The bytes of the header.
    pub(crate) length: usize,
}

/// The bytes are no header that this server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads the header at the front of `bytes`; `None` where it is not complete yet.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<ProxyHeader>, Malformed> {
    if bytes.starts_with(LINE_START) {
        parse_line(bytes)
    } else if let Some(rest) = bytes.strip_prefix(SIGNATURE) {
        parse_binary(rest)
    } else if LINE_START.starts_with(bytes) || SIGNATURE.starts_with(bytes) {
        Ok(None)
    } else {
        Err(Malformed)
    }
}

fn parse_line(bytes: &[u8]) -> Result<Option<ProxyHeader>, Malformed> {
    let start = bytes.get(..MAX_LINE).unwrap_or(bytes);
    let Some(newline) = start.iter().position(|byte| *byte == b'\n') else {
        return if start.len() < MAX_LINE {
            Ok(None)
        } else {
            Err(Malformed)
        };
    };
    let line = start.get(LINE_START.len()..newline).unwrap_or_default();
    let line = line.strip_suffix(b"\r").ok_or(Malformed)?;
    let line = str::from_utf8(line).map_err(|_| Malformed)?;
    let mut words = line.split(' ');
    let source = match words.next() {
        // What follows is ignored.
        Some("UNKNOWN") => None,
        Some("TCP4") => named(source_of_line::<Ipv4Addr>(words).ok_or(Malformed)?),
        Some("TCP6") => named(source_of_line::<Ipv6Addr>(words).ok_or(Malformed)?),
        _ => return Err(Malformed),
    };
    Ok(Some(ProxyHeader {
        source,
        length: newline + 1,
    }))
}

/// Reads both addresses and both ports, and returns those of the client.
fn source_of_line<A: FromStr + Into<IpAddr>>(mut words: Split<'_, char>) -> Option<SocketAddr> {
    let source: A = words.next()?.parse().ok()?;
    let _destination: A = words.next()?.parse().ok()?;
    let source_port = port(words.next()?)?;
    let _destination_port = port(words.next()?)?;
    let is_end = words.next().is_none();
    is_end.then_some(SocketAddr::new(source.into(), source_port))
}

/// Reads a port in decimal, which has no leading zeros.
fn port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit());
    let is_padded = word.starts_with('0') && word.len() > 1;
    word.parse().ok().filter(|_| is_plain && !is_padded)
}

/// Reads what follows the signature of version 2.
fn parse_binary(rest: &[u8]) -> Result<Option<ProxyHeader>, Malformed> {
    let is_local = match rest.first() {
        None => return Ok(None),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Err(Malformed),
    };
    let family = match rest.get(1) {
        None => return Ok(None),
        // The family of a connection of the proxy's own is ignored.
        Some(_) if is_local => Family::Other,
        Some(0x11) => Family::Ipv4,
        Some(0x21) => Family::Ipv6,
        // AF_UNSPEC and AF_UNIX, without or with SOCK_STREAM.
        Some(0x00 | 0x01 | 0x30 | 0x31) => Family::Other,
        // Datagrams bring no request, and the rest is not assigned.
        Some(_) => return Err(Malformed),
    };
    let Some([high, low]) = rest.get(2..4) else {
        return Ok(None);
    };
    let content = usize::from(u16::from_be_bytes([*high, *low]));
    let length = FIXED + content;
    if length > MAX_BINARY || content < family.least() {
        return Err(Malformed);
    }
    let Some(content) = rest.get(4..4 + content) else {
        return Ok(None);
    };
    let source = family.source(content).and_then(named);
    Ok(Some(ProxyHeader { source, length }))
}

/// What the addresses of version 2 are.
#[derive(Clone, Copy)]
enum Family {
    Ipv4,
    Ipv6,
    Other,
}

impl Family {
    /// The bytes of both addresses and both ports.
    fn least(self) -> usize {
        match self {
            Self::Ipv4 => 12,
            Self::Ipv6 => 36,
            Self::Other => 0,
        }
    }

    /// Returns the client's address: both addresses come first, then both ports.
    fn source(self, content: &[u8]) -> Option<SocketAddr> {
        let (ip, port): (IpAddr, _) = match self {
            Self::Ipv4 => ((*content.first_chunk::<4>()?).into(), content.get(8..10)?),
            Self::Ipv6 => ((*content.first_chunk::<16>()?).into(), content.get(32..34)?),
            Self::Other => return None,
        };
        let port = u16::from_be_bytes(port.try_into().ok()?);
        Some(SocketAddr::new(ip, port))
    }
}

/// Returns an address as it is kept, IPv4-mapped ones as IPv4; `None` for one that no client has (`0.0.0.0`, `::`).
fn named(source: SocketAddr) -> Option<SocketAddr> {
    let ip = source.ip().to_canonical();
    (!ip.is_unspecified()).then_some(SocketAddr::new(ip, source.port()))
}

#[cfg(test)]
mod tests;
