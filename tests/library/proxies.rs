//! Trusted proxies: what a handler learns of the client and of its peer.

use std::time::Duration;

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, HttpServer, LogEntry, MemoryServer,
    ServerConfig, TrustedProxy,
};

use crate::client::Reply;
use crate::handlers::{answering, send_text};
use crate::running::Running;

fn trusting(proxies: &[&str]) -> ServerConfig {
    ServerConfig::default().with(|config| {
        let parsed = proxies.iter().map(|proxy| proxy.parse().unwrap());
        config.trusted_proxies = parsed.collect();
    })
}

/// Returns client, its text and peer, as a handler sees them.
fn seen(config: ServerConfig, request: &str) -> String {
    let handler = answering(|exchange| {
        let (client, peer) = (exchange.client_address(), exchange.peer_address());
        let text = exchange.address_string();
        send_text(exchange, &format!("{client} {text} {peer}"))
    });
    let bytes = MemoryServer::with_config(handler, config).respond(request.as_bytes());
    Reply::all(&bytes, &["GET"])[0].text().to_owned()
}

#[test]
fn a_trusted_proxy_names_the_client() {
    let request = "GET / HTTP/1.0\r\nX-Forwarded-For: 192.0.2.1, 203.0.113.1:5\r\n\r\n";
    let named = "203.0.113.1:5 203.0.113.1 127.0.0.1:1";
    let peer = "127.0.0.1:1 127.0.0.1 127.0.0.1:1";
    assert_eq!(seen(trusting(&["127.0.0.0/8"]), request), named);
    assert_eq!(seen(trusting(&["::1", "127.0.0.1"]), request), named);
    assert_eq!(seen(trusting(&["10.0.0.0/8", "unix"]), request), peer);
    assert_eq!(seen(ServerConfig::default(), request), peer);
    let chain = trusting(&["127.0.0.1", "203.0.113.0/24"]);
    assert_eq!(seen(chain, request), "192.0.2.1:0 192.0.2.1 127.0.0.1:1");
}

#[test]
fn the_proxy_protocol_names_the_client() {
    let config = trusting(&["127.0.0.1"]).with(|config| config.proxy_protocol = true);
    let request = "PROXY TCP6 2001:db8::1 2001:db8::2 4711 80\r\nGET / HTTP/1.0\r\n\r\n";
    assert_eq!(
        seen(config.clone(), request),
        "[2001:db8::1]:4711 2001:db8::1 127.0.0.1:1"
    );
    let handler = answering(|exchange| send_text(exchange, "not reached"));
    let mut server = MemoryServer::with_config(handler, config);
    assert!(server.respond(b"GET / HTTP/1.0\r\n\r\n").is_empty());
}

#[test]
fn the_protocol_needs_proxies_that_are_trusted() {
    let config = ServerConfig::default().with(|config| config.proxy_protocol = true);
    let error = config.check().unwrap_err();
    assert!(error.to_string().contains("trusted_proxies"), "{error}");
    let handler = answering(|exchange| send_text(exchange, ""));
    assert!(HttpServer::bind_with("127.0.0.1:0", handler, config.clone()).is_err());
    let trusting = config.with(|config| config.trusted_proxies.push(TrustedProxy::UNIX));
    assert!(trusting.check().is_ok());
}

#[test]
fn a_header_that_does_not_come_in_time_closes_the_connection() {
    let config = trusting(&["127.0.0.1"]).with(|config| {
        config.proxy_protocol = true;
        config.head_timeout = Duration::from_millis(50);
    });
    let server = Running::with(config, Logging::default);
    for start in ["", "PROXY TCP4 203", "\r\n\r\n\0"] {
        assert!(server.client().send(start).rest().is_empty());
    }
}

/// Adds lines of the log to the replies.
#[derive(Default)]
struct Logging {
    lines: Vec<String>,
}

impl BaseHttpRequestHandler for Logging {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        exchange.send_text(200, self.lines.join(" "));
        Ok(())
    }

    fn log_request(&mut self, entry: &LogEntry<'_>, _line: &mut Vec<u8>) {
        let (client, peer) = (entry.client_address(), entry.peer_address());
        assert_eq!(peer.ip().to_string(), "127.0.0.1");
        self.lines.push(client.ip().to_string());
    }
}

#[test]
fn a_log_entry_has_the_client_of_its_request_and_the_peer() {
    let config = trusting(&["127.0.0.1"]);
    let server = Running::with(config, Logging::default);
    let mut client = server.client();
    let ask =
        |address: &str| format!("GET / HTTP/1.1\r\nHost: h\r\nForwarded: for={address}\r\n\r\n");
    client.send(ask("203.0.113.1")).reply();
    client.send(ask("203.0.113.2")).reply();
    let reply = client.send(ask("203.0.113.3")).reply();
    assert_eq!(reply.text(), "203.0.113.1 203.0.113.2");
}
