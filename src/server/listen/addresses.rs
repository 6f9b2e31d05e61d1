//! How many connections each client has, where that number is limited.
//!
//! Invariant: only addresses with a connection are stored, so there are never more of them than connections.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use crate::config::ServerConfig;
use crate::handler::peer::UNIX_PEER;

/// The connections of one loop, counted by address. The hash has a secret key, because clients can choose their addresses within
/// limits.
#[derive(Debug)]
pub(crate) struct Addresses {
    /// How many connections one client may have; `None` where it may have any number, and nothing is counted.
    most: Option<usize>,
    open: HashMap<IpAddr, usize>,
}

impl Addresses {
    /// Makes the counts of one of `loops` loops, each of which has an equal share of the limit.
    pub(crate) fn new(config: &ServerConfig, loops: usize) -> Self {
        let share = |most: usize| most.div_ceil(loops.max(1)).max(1);
        Self {
            most: config.max_connections_per_ip.map(share),
            open: HashMap::new(),
        }
    }

    /// Returns how many connections `address` may have. The peer of a UNIX socket is a program of this machine, most often a proxy
    /// with many clients: it has no limit.
    fn limit_for(&self, address: IpAddr) -> Option<usize> {
        self.most.filter(|_| address != UNIX_PEER.ip())
    }

    /// Whether connections are counted at all.
    pub(crate) fn has_limit(&self) -> bool {
        self.most.is_some()
    }

    /// Whether `address` may have one more connection.
    pub(crate) fn has_room(&self, address: IpAddr) -> bool {
        self.limit_for(address).is_none_or(|most| {
            let open = self.open.get(&network(address));
            open.is_none_or(|open| *open < most)
        })
    }

    /// Counts a connection for `address` in place of the client that it `counted` for. Returns whether there was room; if not, it
    /// counts for no client.
    pub(crate) fn replace(
        &mut self,
        counted: &mut Option<IpAddr>,
        address: Option<IpAddr>,
    ) -> bool {
        if let Some(before) = counted.take() {
            self.leave(before);
        }
        let has_room = address.is_none_or(|address| self.has_room(address));
        if let Some(address) = address.filter(|_| has_room && self.has_limit()) {
            self.enter(address);
            *counted = Some(address);
        }
        has_room
    }

    /// Counts a connection that was taken in. The peers of UNIX sockets have no address, so they are not counted.
    pub(crate) fn enter(&mut self, address: IpAddr) {
        if self.limit_for(address).is_some() {
            *self.open.entry(network(address)).or_default() += 1;
        }
    }

    /// Takes off a connection that was closed.
    pub(crate) fn leave(&mut self, address: IpAddr) {
        if self.limit_for(address).is_none() {
            return;
        }
        let network = network(address);
        if let Some(open) = self.open.get_mut(&network) {
            *open -= 1;
            if *open == 0 {
                self.open.remove(&network);
            }
        }
    }
}

/// Returns the address by which a client is counted. For IPv6 that is its /64, the smallest network that a client is given.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(most: Option<usize>, loops: usize) -> Addresses {
        let config = ServerConfig {
            max_connections_per_ip: most,
            ..ServerConfig::default()
        };
        Addresses::new(&config, loops)
    }

    #[test]
    fn a_closed_connection_makes_room_and_its_address_is_removed() {
        let mut addresses = addresses(Some(2), 1);
        let (one, other) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        addresses.enter(one);
        assert!(addresses.has_room(one));
        addresses.enter(one);
        assert!(!addresses.has_room(one) && addresses.has_room(other));
        addresses.leave(one);
        assert!(addresses.has_room(one));
        addresses.leave(one);
        assert!(addresses.open.is_empty());
    }

    #[test]
    fn the_peers_of_a_unix_socket_are_not_counted() {
        let mut addresses = addresses(Some(1), 1);
        (0..10).for_each(|_| addresses.enter(UNIX_PEER.ip()));
        assert!(addresses.has_room(UNIX_PEER.ip()) && addresses.open.is_empty());
        addresses.leave(UNIX_PEER.ip());
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let mut addresses = addresses(Some(1), 1);
        addresses.enter("2001:db8:1:2::1".parse().unwrap());
        assert!(!addresses.has_room("2001:db8:1:2:ffff::9".parse().unwrap()));
        assert!(addresses.has_room("2001:db8:1:3::1".parse().unwrap()));
    }

    #[test]
    fn loops_share_the_limit_and_without_one_nothing_is_counted() {
        let address = [127, 0, 0, 1].into();
        for (most, loops, allowed) in [(Some(5), 2, 3), (Some(1), 4, 1), (Some(0), 1, 1)] {
            let mut addresses = addresses(most, loops);
            for _ in 0..allowed {
                assert!(addresses.has_room(address));
                addresses.enter(address);
            }
            assert!(!addresses.has_room(address), "{most:?} of {loops}");
        }
        let mut addresses = addresses(None, 1);
        (0..1000).for_each(|_| addresses.enter(address));
        assert!(addresses.has_room(address) && addresses.open.is_empty());
    }
}
