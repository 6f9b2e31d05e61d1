//! Streams on a socket that follows a script: what a peer does that does not keep to the protocol.

use std::fs::File;

use super::super::test_peer::TestPeer;
use super::*;
use crate::wire::transport::Transport;

/// A socket with bytes to read. Its writes are taken until the peer is gone.
#[derive(Default)]
struct TestSocket {
    arrived: Vec<u8>,
    is_gone: bool,
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

    fn write(&mut self, bytes: &[u8], _: bool) -> io::Result<usize> {
        if self.is_gone {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(bytes.len())
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

#[test]
fn a_stream_that_has_failed_is_not_used_if_its_alert_cannot_be_sent() {
    let (_, mut stream) = TestPeer::new();
    // Two messages that begin no handshake: the second one waits in rustls when the first one fails.
    let mut socket = TestSocket {
        arrived: record(&[20, 0, 0, 0, 20, 0, 0, 0]),
        is_gone: true,
    };
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
    let mut socket = TestSocket {
        arrived,
        is_gone: false,
    };
    let error = stream.handshake(&mut socket, &[]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert_eq!(stream.memory(), 0);
}
