//! The same connections over TLS, where the script cuts records in place of requests and replies.

use std::cell::Cell;

use super::script::{Event, Script, TestLoop};
use crate::handler::BaseHttpRequestHandler;
use crate::wire::socket::Socket;
use crate::wire::tls::test_peer::TestPeer;

thread_local! {
    static IS_ON: Cell<bool> = const { Cell::new(false) };
}

/// Runs a test with every connection over TLS.
fn over_tls(test: impl FnOnce()) {
    IS_ON.set(true);
    test();
    IS_ON.set(false);
}

/// What moves the bytes of a test.
pub(super) type Wire = Socket<Script>;
/// The client of TLS, if that is on.
pub(super) type Peer = Option<TestPeer>;

pub(super) fn open(script: Script) -> (Wire, Peer) {
    if IS_ON.get() || std::env::var_os("OVER_TLS").is_some() {
        let (peer, stream) = TestPeer::new();
        (Socket::over_tls(script, stream), Some(peer))
    } else {
        (Socket::plain(script), None)
    }
}

pub(super) fn script(wire: &Wire) -> &Script {
    wire.stream()
}

pub(super) fn script_mut(wire: &mut Wire) -> &mut Script {
    wire.stream_mut()
}

impl<H: BaseHttpRequestHandler> TestLoop<H> {
    /// Completes the handshake, if the connection is over TLS.
    pub(super) fn shake_hands(&mut self) {
        while self.peer.as_ref().is_some_and(TestPeer::is_handshaking)
            || self.state() == "Handshaking"
        {
            self.receive("");
            assert!(self.output().is_empty());
        }
        let script = self.script();
        script.reads = 0;
        script.writes.clear();
        self.context.server.counters.tls_handshakes = 0;
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        let records = match &mut self.peer {
            None => bytes.to_vec(),
            Some(peer) => peer.seal(bytes),
        };
        self.script().arrived.extend(records);
    }

    pub(super) fn send_end(&mut self, end: &Event) {
        if let (Event::Eof, Some(peer)) = (end, &mut self.peer) {
            let records = peer.close();
            self.script().arrived.extend(records);
        }
    }

    /// Returns what the client finds in `output`.
    pub(super) fn opened(&mut self, output: Vec<u8>) -> Vec<u8> {
        match &mut self.peer {
            None => output,
            Some(peer) => peer.open(&output),
        }
    }
}
