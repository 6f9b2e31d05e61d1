//! The socket of a connection, with or without TLS.
//!
//! Kernel TLS would be one more case here: after the handshake rustls gives the keys away (`dangerous_into_kernel_connection`), the
//! socket takes them by `setsockopt(SOL_TLS)`, and from then on `write` and `send_file` are those of the socket. The control records
//! that the kernel passes on go to rustls.

use std::fs::File;
use std::io;
use std::time::Duration;

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::delivery::Delivery;
use super::tls::config::TlsConfig;
use super::tls::stream::TlsStream;
use super::transport::{Handshake, Transport};

/// A socket, generic over what moves the bytes so that tests can script that.
#[derive(Debug)]
pub(crate) struct Socket<S = TcpStream> {
    stream: S,
    tls: Option<Box<TlsStream>>,
}

impl<S> Socket<S> {
    pub(crate) fn plain(stream: S) -> Self {
        Self { stream, tls: None }
    }

    pub(crate) fn with_tls(stream: S, config: &TlsConfig) -> Self {
        Self::over_tls(stream, TlsStream::new(config.server_config()))
    }

    pub(crate) fn over_tls(stream: S, tls: TlsStream) -> Self {
        let tls = Some(Box::new(tls));
        Self { stream, tls }
    }

    #[cfg(test)]
    pub(crate) fn stream(&self) -> &S {
        &self.stream
    }

    #[cfg(test)]
    pub(crate) fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }
}

impl<S: Transport> Transport for Socket<S> {
    fn needs_handshake(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.needs_handshake())
    }

    fn handshake(&mut self, received: &[u8]) -> io::Result<Handshake> {
        match &mut self.tls {
            None => Ok(Handshake::PlainText),
            Some(tls) => tls.handshake(&mut self.stream, received),
        }
    }

    // Inlined, as the write is: a connection without TLS pays for a comparison and no call.
    #[inline(always)]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.stream.read(buffer),
            Some(tls) => tls.read(&mut self.stream, buffer),
        }
    }

    #[inline(always)]
    fn has_more(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.has_more())
    }

    #[inline(always)]
    fn take_cost(&mut self) -> usize {
        self.tls.as_mut().map_or(0, |tls| tls.take_cost())
    }

    fn is_cut(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_cut())
    }

    fn has_failed(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.has_failed())
    }

    #[inline(always)]
    fn write(&mut self, bytes: &[u8], more: bool) -> io::Result<usize> {
        match &mut self.tls {
            None => self.stream.write(bytes, more),
            Some(tls) => tls.write(&mut self.stream, bytes, more),
        }
    }

    fn send_file(&mut self, file: &File, offset: u64, length: usize) -> io::Result<usize> {
        match &mut self.tls {
            None => self.stream.send_file(file, offset, length),
            Some(tls) => tls.send_file(&mut self.stream, file, offset, length),
        }
    }

    fn finish(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.finish(&mut self.stream);
        }
    }

    fn finish_with_write(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.finish_with_write();
        }
    }

    fn shutdown(&mut self) -> io::Result<()> {
        self.finish();
        self.stream.shutdown()
    }

    fn reset(&mut self) -> io::Result<()> {
        self.stream.reset()
    }

    fn delivery(&self) -> Option<Delivery> {
        self.stream.delivery()
    }

    fn window_limited(&self) -> Option<Duration> {
        self.stream.window_limited()
    }

    #[inline(always)]
    fn memory(&self) -> usize {
        self.tls.as_ref().map_or(0, |tls| tls.memory())
    }
}

impl<S: Source> Source for Socket<S> {
    fn register(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        self.stream.register(registry, token, interests)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: Token,
        interests: Interest,
    ) -> io::Result<()> {
        self.stream.reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.stream.deregister(registry)
    }
}
