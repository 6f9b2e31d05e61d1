//! The proxies that are believed when they name the client of a request: networks of IP addresses, or all UNIX sockets.
//!
//! Invariant: IPv4-mapped IPv6 addresses are IPv4 on both sides of a comparison, so one client has one address.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// The address that stands for the peer of a UNIX socket, which has none. A TCP peer never has it.
pub(crate) const UNIX_PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A proxy, or a network of proxies, that is believed when it names the client of a request.
///
/// Its text is an address, a network as `ADDRESS/BITS`, or `unix` for all peers of UNIX sockets.
///
/// ```
/// use httpoll::TrustedProxy;
///
/// let balancers: TrustedProxy = "10.1.0.0/16".parse()?;
/// assert!(balancers.contains("10.1.2.3:4711".parse()?));
/// assert!(balancers.contains("[::ffff:10.1.2.3]:4711".parse()?));
/// assert!(!balancers.contains("10.2.0.1:4711".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedProxy(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The first address of a network, and how many leading bits its addresses have in common.
    Network(IpAddr, u8),
    Unix,
}

impl TrustedProxy {
    /// All peers of UNIX sockets. The permissions of the socket decide which processes these are.
    pub const UNIX: Self = Self(Kind::Unix);

    /// Tells whether `peer` is one of these proxies. The peer of a UNIX socket has the address `0.0.0.0:0`.
    pub fn contains(&self, peer: SocketAddr) -> bool {
        let is_unix = peer == UNIX_PEER;
        match self.0 {
            Kind::Unix => is_unix,
            Kind::Network(first, bits) => {
                let ip = peer.ip().to_canonical();
                !is_unix && ip.is_ipv4() == first.is_ipv4() && first_of(ip, bits) == first
            }
        }
    }
}

impl From<IpAddr> for TrustedProxy {
    /// Trusts this address alone.
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self(Kind::Network(address, width(address)))
    }
}

impl FromStr for TrustedProxy {
    type Err = InvalidTrustedProxy;

    /// Reads `unix`, an address, or a network as `ADDRESS/BITS`. Bits of the address behind the network's are ignored.
    fn from_str(text: &str) -> Result<Self, InvalidTrustedProxy> {
        if text == "unix" {
            return Ok(Self::UNIX);
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let typed: IpAddr = address.parse().map_err(|_| InvalidTrustedProxy)?;
        let bits = match bits {
            None => width(typed),
            Some(digits)
                if digits.len() <= 3 && digits.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                digits.parse().map_err(|_| InvalidTrustedProxy)?
            }
            Some(_) => return Err(InvalidTrustedProxy),
        };
        if bits > width(typed) {
            return Err(InvalidTrustedProxy);
        }
        let (address, bits) = canonical(typed, bits);
        Ok(Self(Kind::Network(first_of(address, bits), bits)))
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::Unix => f.write_str("unix"),
            Kind::Network(address, bits) if bits == width(address) => write!(f, "{address}"),
            Kind::Network(address, bits) => write!(f, "{address}/{bits}"),
        }
    }
}

/// The error for a text that names no [`TrustedProxy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTrustedProxy;

impl fmt::Display for InvalidTrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an address, a network such as 10.0.0.0/8, or unix")
    }
}

impl Error for InvalidTrustedProxy {}

/// Returns a network of IPv4-mapped addresses as one of IPv4. A shorter prefix than that of all mapped addresses stays IPv6.
fn canonical(address: IpAddr, bits: u8) -> (IpAddr, u8) {
    match (address.to_canonical(), bits.checked_sub(96)) {
        (v4 @ IpAddr::V4(_), Some(bits)) if address.is_ipv6() => (v4, bits),
        _ => (address, bits),
    }
}

/// The number of bits of an address.
fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// Returns the first address of the network that has the leading `bits` of `address`.
fn first_of(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32)));
            IpAddr::V4((v4.to_bits() & mask.unwrap_or(0)).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128)));
            IpAddr::V6((v6.to_bits() & mask.unwrap_or(0)).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn contains(proxy: &str, peer: &str) -> bool {
        let proxy: TrustedProxy = proxy.parse().unwrap();
        proxy.contains(peer.parse().unwrap())
    }

    #[test]
    fn a_network_contains_the_addresses_that_begin_like_it() {
        for (proxy, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255:1", "11.0.0.0:1"),
            ("10.0.0.9/8", "10.1.2.3:1", "9.255.255.255:1"),
            ("192.0.2.1", "192.0.2.1:1", "192.0.2.2:1"),
            ("192.0.2.1/32", "[::ffff:192.0.2.1]:1", "[::1]:1"),
            ("0.0.0.0/0", "203.0.113.9:1", "[2001:db8::1]:1"),
            ("0.0.0.0/0", "203.0.113.9:0", "0.0.0.0:0"),
            ("::/0", "[2001:db8::1]:1", "203.0.113.9:1"),
            ("::ffff:10.0.0.0/104", "10.1.2.3:1", "11.0.0.0:1"),
            ("::ffff:10.0.0.1", "10.0.0.1:1", "10.0.0.2:1"),
            (
                "2001:db8::/33",
                "[2001:db8:7fff::1]:1",
                "[2001:db8:8000::1]:1",
            ),
            ("fe80::1", "[fe80::1%3]:1", "[fe80::2]:1"),
            ("unix", "0.0.0.0:0", "127.0.0.1:0"),
        ] {
            assert!(contains(proxy, inside), "{proxy} {inside}");
            assert!(!contains(proxy, outside), "{proxy} {outside}");
        }
    }

    #[test]
    fn text_that_is_no_network_is_an_error() {
        for text in [
            "",
            "/",
            "UNIX",
            "localhost",
            "10.0.0",
            "10.0.0.1/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/8 ",
            "::/129",
            "::1/-1",
            "[::1]",
            "10.0.0.1:80",
            "10.0.0.0/8,::1",
            "010.0.0.1",
            "10.0.0.0/1000",
            "fe80::1%eth0",
        ] {
            assert_eq!(
                text.parse::<TrustedProxy>(),
                Err(InvalidTrustedProxy),
                "{text}"
            );
        }
    }

    #[test]
    fn the_text_of_a_network_is_its_shortest() {
        for (text, shown) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3/32", "10.1.2.3"),
            ("2001:DB8:0::1", "2001:db8::1"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:0:0/95", "::fffe:0:0/95"),
            ("unix", "unix"),
        ] {
            let proxy: TrustedProxy = text.parse().unwrap();
            assert_eq!(proxy.to_string(), shown);
            assert_eq!(shown.parse(), Ok(proxy));
        }
    }

    proptest! {
        #[test]
        fn a_network_compares_bit_by_bit(first: u32, other: u32, bits in 0u8..=32) {
            let (first, other) = (Ipv4Addr::from(first), Ipv4Addr::from(other));
            let same = (0..bits).all(|bit| (first.to_bits() ^ other.to_bits()) >> (31 - bit) & 1 == 0);
            prop_assert_eq!(contains(&format!("{first}/{bits}"), &format!("{other}:1")), same);
        }

        #[test]
        fn a_network_of_ipv6_compares_bit_by_bit(first: u128, flipped in 0u32..128, bits in 0u8..=128) {
            // Mapped addresses are IPv4.
            let first = first | 1 << 127;
            let [first, other] = [first, first ^ (1 << (127 - flipped))].map(std::net::Ipv6Addr::from);
            let proxy: TrustedProxy = format!("{first}/{bits}").parse().unwrap();
            prop_assert!(proxy.contains((first, 1).into()));
            prop_assert_eq!(proxy.contains((other, 1).into()), flipped >= bits.into());
        }
    }
}
