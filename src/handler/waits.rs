//! What a reply has waited for between its request and its last byte, for the log.

use std::time::Duration;

/// How long a reply has waited, and for what. Waiting for the handler (a promised reply, a stream that has nothing now) is not
/// counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    /// The socket was full, and the client had no room for more in its window.
    pub(crate) client: Duration,
    /// The socket was full, and the client had room: the bytes were on their way.
    pub(crate) net: Duration,
    /// The next bytes of a file were not in memory.
    pub(crate) disk: Duration,
    /// Other connections had their turn first.
    pub(crate) turn: Duration,
}

impl Waits {
    pub(crate) fn add(&mut self, more: &Self) {
        self.client += more.client;
        self.net += more.net;
        self.disk += more.disk;
        self.turn += more.turn;
    }

    /// Returns the name of the longest wait; `None` if the reply did not wait.
    pub(crate) fn longest(&self) -> Option<&'static str> {
        let named = [
            (self.client, "client"),
            (self.net, "net"),
            (self.disk, "disk"),
            (self.turn, "loop"),
        ];
        let (time, name) = named.into_iter().max_by_key(|(time, _)| *time)?;
        (!time.is_zero()).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_of_all_waits_is_named() {
        let mut waits = Waits::default();
        assert_eq!(waits.longest(), None);
        let [one, two, four, nine] = [1, 2, 4, 9].map(Duration::from_millis);
        let none = Waits::default();
        for (more, expected) in [
            (Waits { turn: one, ..none }, "loop"),
            (Waits { disk: two, ..none }, "disk"),
            (Waits { turn: two, ..none }, "loop"),
            (Waits { net: four, ..none }, "net"),
            (
                Waits {
                    client: nine,
                    ..none
                },
                "client",
            ),
        ] {
            waits.add(&more);
            assert_eq!(waits.longest(), Some(expected));
        }
    }
}
