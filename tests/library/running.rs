//! A server in its own thread, which ends when its value is dropped.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use httpoll::{BaseHttpRequestHandler, HttpServer, LogFormat, ServerConfig, ServerHandle};

use crate::client::{Client, TIMEOUT};

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

    /// Starts a server. It cannot move to another thread, so `handler` makes the handler in the new thread.
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
        let (address, handle) = told.recv_timeout(TIMEOUT).unwrap();
        Self {
            address,
            handle,
            thread: Some(thread),
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Waits for the end of a server that is shutting down.
    pub(crate) fn join(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        let deadline = Instant::now() + TIMEOUT;
        while !thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        let ended = thread.is_finished() && thread.join().is_ok();
        assert!(
            ended || thread::panicking(),
            "the loop panicked or did not end"
        );
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shutdown();
        self.end();
    }
}

/// A configuration without a log, for large bodies, and with short timeouts at the end of connections.
pub(crate) fn config() -> ServerConfig {
    ServerConfig::default().with(|config| {
        config.log_format = LogFormat::None;
        config.max_body = 1 << 30;
        config.drain_timeout = Duration::from_secs(1);
        config.linger_timeout = Duration::from_millis(200);
    })
}

/// Waits until `condition` holds, for effects that show in no reply.
pub(crate) fn eventually(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "the condition never held");
        thread::sleep(Duration::from_millis(1));
    }
}
