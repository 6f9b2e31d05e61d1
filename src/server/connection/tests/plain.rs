//! Connections without TLS, where it is compiled out.

use super::script::{Event, Script, TestLoop};

/// What moves the bytes of a test.
pub(super) type Wire = Script;
pub(super) type Peer = ();

pub(super) const BOTH: [bool; 1] = [false];

pub(super) fn set(_: bool) {}

pub(super) fn open(script: Script) -> (Wire, Peer) {
    (script, ())
}

pub(super) fn script(wire: &Wire) -> &Script {
    wire
}

pub(super) fn script_mut(wire: &mut Wire) -> &mut Script {
    wire
}

impl<H> TestLoop<H> {
    pub(super) fn shake_hands(&mut self) {
        let () = self.peer;
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.connection.transport.arrived.extend_from_slice(bytes);
    }

    pub(super) fn send_end(&mut self, _: &Event) {}

    pub(super) fn opened(&mut self, output: Vec<u8>) -> Vec<u8> {
        output
    }
}
