//! Streams on a socket that follows a script: what a peer does that does not keep to the protocol.

use std::fs::File;

use rustls::crypto::cipher::{AeadKey, Iv, OutboundChunks, OutboundPlainMessage};
use rustls::crypto::tls13::OkmBlock;
use rustls::{CipherSuite, ContentType, KeyLog, ProtocolVersion, Tls13CipherSuite};

use super::super::stream::TlsStream;
use super::super::test_peer::TestPeer;
use super::*;
use crate::wire::transport::Transport;

/// A socket with bytes to read, and with room for some that are written.
struct TestSocket {
    arrived: Vec<u8>,
    sent: Vec<u8>,
    room: usize,
    /// Whether every write fails for good.
    is_gone: bool,
    /// Whether the last write said that more follows.
    more: bool,
}

impl TestSocket {
    fn new(arrived: Vec<u8>) -> Self {
        Self {
            arrived,
            sent: Vec::new(),
            room: usize::MAX,
            is_gone: false,
            more: false,
        }
    }
}

impl Transport for TestSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.arrived.len().min(buffer.len());
        if length == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buffer[..length].copy_from_slice(&self.arrived[..length]);
        self.arrived.drain(..length);
        Ok(length)
    }

    fn write(&mut self, bytes: &[u8], more: bool) -> io::Result<usize> {
        if self.is_gone {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if self.room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = self.room.min(bytes.len());
        self.room -= length;
        self.sent.extend_from_slice(&bytes[..length]);
        self.more = more;
        Ok(length)
    }

    fn send_file(&mut self, _: &File, _: u64, _: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn reset(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Returns a record of a handshake with this content.
fn record(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[22, 3, 1], length.as_slice(), content].concat()
}

/// Returns both ends of a connection after the handshake.
fn connect() -> (TestPeer, TlsStream, TestSocket) {
    connect_with(client(ECDSA))
}

fn connect_with(client: ClientConfig) -> (TestPeer, TlsStream, TestSocket) {
    let (mut peer, mut stream) = TestPeer::of(client);
    let mut socket = TestSocket::new(Vec::new());
    while peer.is_handshaking() || stream.needs_handshake() {
        socket.arrived.extend(peer.seal(b""));
        // The client has to act next, or the handshake is complete.
        let _ = stream.handshake(&mut socket, &[]);
        peer.open(&std::mem::take(&mut socket.sent));
    }
    (peer, stream, socket)
}

/// Keeps the secret that the keys of the client are made of.
#[derive(Debug, Default)]
struct ClientSecret(Mutex<Vec<u8>>);

impl KeyLog for ClientSecret {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        if label == "CLIENT_TRAFFIC_SECRET_0" {
            *self.0.lock().unwrap() = secret.to_vec();
        }
    }
}

/// Returns records that a client with this `secret` may send: by turns one without content, and a new key.
fn silent_records(suite: &Tls13CipherSuite, secret: &[u8], count: usize) -> Vec<u8> {
    // HKDF-Expand-Label of RFC 8446 section 7.1.
    fn expand<const N: usize>(suite: &Tls13CipherSuite, secret: &[u8], label: &str) -> [u8; N] {
        let expander = suite.hkdf_provider.expander_for_okm(&OkmBlock::new(secret));
        let label = format!("tls13 {label}");
        let lengths = [0, N as u8, label.len() as u8];
        let mut room = [0; N];
        expander
            .expand_slice(&[&lengths, label.as_bytes(), &[0]], &mut room)
            .unwrap();
        room
    }
    let (mut secret, mut records) = (secret.to_vec(), Vec::new());
    for _ in 0..count {
        let key = AeadKey::from(expand::<32>(suite, &secret, "key"));
        let iv = Iv::from(expand::<12>(suite, &secret, "iv"));
        let mut encrypter = suite.aead_alg.encrypter(key, iv);
        let mut seal = |number, typ, content| {
            let plain = OutboundPlainMessage {
                typ,
                version: ProtocolVersion::TLSv1_2,
                payload: OutboundChunks::Single(content),
            };
            records.extend(encrypter.encrypt(plain, number).unwrap().encode());
        };
        seal(0, ContentType::ApplicationData, &[]);
        seal(1, ContentType::Handshake, &[24, 0, 0, 1, 0]);
        secret = expand::<48>(suite, &secret, "traffic upd").to_vec();
    }
    records
}

#[test]
fn a_peer_that_sends_records_without_content_all_the_time_is_given_up() {
    let mut crypto = (*provider()).clone();
    let wanted = CipherSuite::TLS13_AES_256_GCM_SHA384;
    crypto.cipher_suites.retain(|suite| suite.suite() == wanted);
    let suite = crypto.cipher_suites[0].tls13().unwrap();
    let secret = Arc::new(ClientSecret::default());
    let mut client = client_of_provider(crypto.into(), &accept_all(ECDSA), rustls::ALL_VERSIONS);
    client.key_log = Arc::clone(&secret) as Arc<_>;
    let (_, mut stream, mut socket) = connect_with(client);
    socket.arrived = silent_records(suite, &secret.0.lock().unwrap(), 5000);
    let error = stream.read(&mut socket, &mut [0; 100]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn a_stream_that_has_failed_is_not_used_if_its_alert_cannot_be_sent() {
    let (_, mut stream) = TestPeer::new();
    // Two messages that begin no handshake: the second one waits in rustls when the first one fails.
    let mut socket = TestSocket::new(record(&[20, 0, 0, 0, 20, 0, 0, 0]));
    socket.is_gone = true;
    let error = stream.handshake(&mut socket, &[]).unwrap_err();
    stream.finish(&mut socket);
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

#[test]
fn a_message_in_tiny_records_is_given_up() {
    let (_, mut stream) = TestPeer::new();
    let mut arrived = record(&[1, 0, 0xff, 0xff]);
    for _ in 0..60_000 {
        arrived.extend(record(&[0]));
    }
    let mut socket = TestSocket::new(arrived);
    let error = stream.handshake(&mut socket, &[]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert_eq!(stream.memory(), 0);
}

#[test]
fn a_message_of_the_handshake_may_have_64_kib() {
    let (_, mut stream) = TestPeer::new();
    let mut arrived = record(&[&[1, 0, 0xff, 0xff][..], &[0; 16_000]].concat());
    for _ in 0..3 {
        arrived.extend(record(&[0; 16_000]));
    }
    let error = stream.handshake(&mut TestSocket::new(arrived), &[]);
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_handshake_is_no_cost_of_the_next_read() {
    let (_, mut stream, _) = connect();
    assert_eq!(stream.take_cost(), 0);
}

#[test]
fn an_end_that_the_socket_does_not_take_is_not_sent_later() {
    let (mut peer, mut stream, mut socket) = connect();
    socket.room = 0;
    stream.finish(&mut socket);
    // As after a shutdown of our side, while the client still sends.
    socket.is_gone = true;
    socket.arrived = peer.seal(b"hello");
    let rest = socket.arrived.split_off(5);
    let mut room = [0; 100];
    let error = stream.read(&mut socket, &mut room).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    socket.arrived = rest;
    assert_eq!(stream.read(&mut socket, &mut room).unwrap(), 5);
}

#[test]
fn the_rest_of_a_record_says_whether_more_follows() {
    let write = |more: bool, length: usize| {
        let (mut peer, mut stream, mut socket) = connect();
        let bytes = vec![b'x'; length];
        socket.room = 100;
        let error = stream.write(&mut socket, &bytes, more).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        socket.room = usize::MAX;
        let mut written = 0;
        while written < length {
            written += stream.write(&mut socket, &bytes[written..], more).unwrap();
        }
        assert_eq!(peer.open(&socket.sent), bytes);
        socket.more
    };
    for length in [1000, 100_000] {
        assert!(!write(false, length));
        assert!(write(true, length));
    }
}
