//! A server in a thread of its own, which ends with the value that stands for it.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use httpoll::{BaseHttpRequestHandler, HttpServer, LogFormat, ServerConfig, ServerHandle};

use crate::client::{Client, PATIENCE};

#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn new<H: BaseHttpRequestHandler>(
        handler: impl FnOnce() -> H + Send + 'static,
    ) -> Self {
        Self::with(config(), handler)
    }

    /// A server cannot move to another thread, so its handler is made where it will live.
    pub(crate) fn with<H: BaseHttpRequestHandler>(
        config: ServerConfig,
        handler: impl FnOnce() -> H + Send + 'static,
    ) -> Self {
        let (ready, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut server = HttpServer::bind_with("127.0.0.1:0", handler(), config).unwrap();
            let address = server.info().addresses()[0];
            ready.send((address, server.handle())).unwrap();
            server.serve_forever().unwrap();
        });
        let (address, handle) = told.recv_timeout(PATIENCE).unwrap();
        Self {
            address,
            handle,
            thread: Some(thread),
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Waits for the end of a server that was told to end.
    pub(crate) fn join(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        let deadline = Instant::now() + PATIENCE;
        while !thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        let ended = thread.is_finished() && thread.join().is_ok();
        assert!(ended || thread::panicking(), "the loop died or goes on");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shutdown();
        self.end();
    }
}

/// Silent, and soon done with clients that stay.
pub(crate) fn config() -> ServerConfig {
    ServerConfig {
        log_format: LogFormat::None,
        drain_timeout: Duration::from_secs(1),
        linger_timeout: Duration::from_millis(200),
        ..ServerConfig::default()
    }
}

/// Waits until `condition` holds: for what happens soon but shows in no reply.
pub(crate) fn eventually(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "it never came true");
        thread::sleep(Duration::from_millis(1));
    }
}
