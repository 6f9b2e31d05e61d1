//! The client of a connection in memory, so that tests can script what happens to its records.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, OnceLock};

use rustls::{ClientConfig, ClientConnection};

use super::config::TlsConfig;
use super::stream::TlsStream;
use super::tests::{ECDSA, client, make};

/// Bytes that fit a record.
const RECORD: usize = 16 * 1024;

/// A client of TLS. What it sends, and what it gets, are bytes of records.
#[derive(Debug)]
pub(crate) struct TestPeer(ClientConnection);

impl TestPeer {
    /// Makes a client, and the stream of the server that it talks to.
    pub(crate) fn new() -> (Self, TlsStream) {
        Self::of(client(ECDSA))
    }

    /// Makes a client with this configuration, and the stream of the server that it talks to.
    pub(super) fn of(client: ClientConfig) -> (Self, TlsStream) {
        static CONFIG: OnceLock<TlsConfig> = OnceLock::new();
        let config = CONFIG.get_or_init(|| {
            let made = make(&["test"]);
            let pem = made.certificate + &made.key;
            TlsConfig::from_pem(pem.as_bytes()).unwrap()
        });
        let name = "test".try_into().unwrap();
        let client = ClientConnection::new(Arc::new(client), name).unwrap();
        (Self(client), TlsStream::new(config.server_config()))
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.0.is_handshaking()
    }

    /// Seals `bytes`, and returns what the client sends.
    pub(crate) fn seal(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut records = Vec::new();
        let pieces = bytes.chunks(RECORD).chain([&b""[..]]);
        for piece in pieces {
            self.0.writer().write_all(piece).unwrap();
            while self.0.wants_write() {
                self.0.write_tls(&mut records).unwrap();
            }
        }
        records
    }

    /// Returns what the client sends to close its side.
    pub(crate) fn close(&mut self) -> Vec<u8> {
        self.0.send_close_notify();
        self.seal(b"")
    }

    /// Opens what the server has sent.
    pub(crate) fn open(&mut self, mut records: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !records.is_empty() {
            self.0.read_tls(&mut records).unwrap();
            self.0.process_new_packets().unwrap();
            // WouldBlock and the end of the stream are no failures here.
            let _ = self.0.reader().read_to_end(&mut bytes);
        }
        bytes
    }
}
