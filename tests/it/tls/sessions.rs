//! What a handshake settles: version, cipher suite, certificate, protocol, and whether a session is resumed.

use std::fs;
use std::process::{Command, Output};
use std::sync::Arc;

use rcgen::KeyPair;
use rustix::process::Signal;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion, SupportedProtocolVersion};

use crate::support::{Authority, HttpsServer, Site, TlsClient, skip, wait_until};

const VERSIONS: [(&SupportedProtocolVersion, ProtocolVersion); 2] = [
    (&TLS12, ProtocolVersion::TLSv1_2),
    (&TLS13, ProtocolVersion::TLSv1_3),
];

#[test]
fn both_versions_are_spoken_and_the_newer_one_is_preferred() {
    let server = HttpsServer::start(&Site::new());
    for (offered, version) in VERSIONS {
        let mut client = server.connect_with(server.authority.client_config(&[offered]));
        assert_eq!(client.tls().protocol_version(), Some(version));
        assert_eq!(client.get("/hello.txt").body, b"Hello, world!\n");
    }
    let client = server.connect();
    let version = client.tls().protocol_version();
    assert_eq!(version, Some(ProtocolVersion::TLSv1_3));
}

/// Asserts that each cipher suite is used that a key of this kind allows; returns how many there are.
fn try_cipher_suites(server: &HttpsServer) -> usize {
    let all = server.client_config().crypto_provider().as_ref().clone();
    let mut used = 0;
    for suite in all.cipher_suites.clone() {
        let version = suite.version();
        let mut provider = all.clone();
        provider.cipher_suites = vec![suite];
        let config = server.authority.client_config_of(provider, &[version]);
        let Ok(mut client) = server.try_connect(config, "localhost") else {
            continue;
        };
        let negotiated = client.tls().negotiated_cipher_suite();
        assert_eq!(negotiated.map(|suite| suite.suite()), Some(suite.suite()));
        assert_eq!(client.get("/hello.txt").body, b"Hello, world!\n");
        used += 1;
    }
    used
}

#[test]
fn all_cipher_suites_are_used() {
    // Three of TLS 1.3, and three of TLS 1.2 with the kind of the key in their names.
    assert_eq!(try_cipher_suites(&HttpsServer::start(&Site::new())), 6);
}

#[test]
fn a_key_of_rsa_is_used() {
    let generate = "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048";
    let output = Command::new("openssl").args(generate.split(' ')).output();
    let Ok(Output { stdout, .. }) = output else {
        return skip("there is no openssl");
    };
    let key = KeyPair::from_pem(&String::from_utf8(stdout).unwrap()).unwrap();
    let authority = Authority::new();
    let pair = authority.issue_for(&key, &["localhost"]);
    let server = HttpsServer::with_pairs(&Site::new(), authority, &[("rsa", pair)], &[]);
    assert_eq!(try_cipher_suites(&server), 6);
}

fn kind(client: &TlsClient) -> HandshakeKind {
    client.tls().handshake_kind().unwrap()
}

/// Connects, reads a reply, which comes after the tickets, and says whether the session was resumed.
fn visit(server: &HttpsServer, config: &Arc<ClientConfig>) -> HandshakeKind {
    let mut client = server.connect_with(Arc::clone(config));
    assert_eq!(client.get("/hello.txt").body, b"Hello, world!\n");
    kind(&client)
}

#[test]
fn sessions_are_resumed() {
    for loops in ["1", "3"] {
        let server = HttpsServer::with(&Site::new(), &["-n", loops]);
        for (version, _) in VERSIONS {
            let config = Arc::new(server.authority.client_config(&[version]));
            let first = visit(&server, &config);
            assert!(first != HandshakeKind::Resumed, "{first:?}");
            for _ in 0..10 {
                assert_eq!(visit(&server, &config), HandshakeKind::Resumed);
            }
        }
    }
}

#[test]
fn connections_resume_sessions_at_once() {
    let server = HttpsServer::start(&Site::new());
    for (version, _) in VERSIONS {
        let config = Arc::new(server.authority.client_config(&[version]));
        let connect = || [(); 2].map(|()| server.connect_with(Arc::clone(&config)));
        // A client uses each ticket of TLS 1.3 once, so two connections need the tickets of two.
        for mut client in connect() {
            client.get("/hello.txt");
        }
        for mut client in connect() {
            assert_eq!(kind(&client), HandshakeKind::Resumed);
            assert_eq!(client.get("/hello.txt").body, b"Hello, world!\n");
        }
    }
}

#[test]
fn sessions_outlive_a_reload() {
    let authority = Authority::new();
    let (old, new) = (
        authority.issue(&["localhost"]),
        authority.issue(&["localhost", "new.test"]),
    );
    let site = Site::new();
    let server = HttpsServer::with_pairs(&site, authority, &[("pair", old)], &[]);
    let configs = VERSIONS.map(|(version, _)| Arc::new(server.authority.client_config(&[version])));
    for config in &configs {
        visit(&server, config);
    }
    new.write(&site, "pair");
    server.signal(Signal::HUP);
    wait_until("the new certificate is used", || {
        accepts(&server, "new.test")
    });
    for config in &configs {
        assert_eq!(visit(&server, config), HandshakeKind::Resumed);
    }
}

/// Whether a client that wants to reach `name` accepts the certificate.
fn accepts(server: &HttpsServer, name: &str) -> bool {
    server.try_connect(server.client_config(), name).is_ok()
}

/// The names in the certificate that a client gets which wants to reach `name`.
fn presented(server: &HttpsServer, config: ClientConfig, name: &str) -> String {
    match server.try_connect(config, name) {
        Ok(_) => name.to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_certificate_is_chosen_by_name() {
    let authority = Authority::new();
    let pairs = [
        ("one", authority.issue(&["one.test", "127.0.0.1"])),
        ("two", authority.issue(&["two.test", "*.two.test"])),
    ];
    let server = HttpsServer::with_pairs(&Site::new(), authority, &pairs, &[]);
    for name in ["one.test", "two.test", "TWO.test", "sub.two.test"] {
        assert!(accepts(&server, name), "{name}");
    }
    // A client sends no name when it wants to reach an address.
    assert!(accepts(&server, "127.0.0.1"));
    for (config, name) in [
        (server.client_config(), "unknown.test"),
        (server.client_config(), "deep.sub.two.test"),
        (without_name(&server), "two.test"),
    ] {
        let names = presented(&server, config, name);
        assert!(names.contains("one.test"), "{name}: {names}");
    }
    assert!(
        server
            .try_connect(without_name(&server), "one.test")
            .is_ok()
    );
}

fn without_name(server: &HttpsServer) -> ClientConfig {
    let mut config = server.client_config();
    config.enable_sni = false;
    config
}

#[test]
fn http_1_1_is_chosen_as_the_protocol() {
    let server = HttpsServer::start(&Site::new());
    for (offered, chosen) in [
        (&["h2", "http/1.1"][..], Some(&b"http/1.1"[..])),
        (&["http/1.1"], Some(b"http/1.1")),
        (&["http/1.1", "h2"], Some(b"http/1.1")),
        (&[], None),
    ] {
        for (version, _) in VERSIONS {
            let mut client = server.connect_with(offering(&server, version, offered));
            assert_eq!(client.tls().alpn_protocol(), chosen, "{offered:?}");
            assert_eq!(client.get("/hello.txt").body, b"Hello, world!\n");
        }
    }
}

#[test]
fn a_client_without_http_1_1_is_refused() {
    let server = HttpsServer::start(&Site::new());
    for (version, _) in VERSIONS {
        for offered in [&["h2"][..], &["spdy/3", "h3"]] {
            let config = offering(&server, version, offered);
            let error = server.try_connect(config, "localhost").err().unwrap();
            let alert = "received fatal alert: NoApplicationProtocol";
            assert!(error.to_string().contains(alert), "{error}");
        }
    }
    server.assert_serving();
}

fn offering(
    server: &HttpsServer,
    version: &'static SupportedProtocolVersion,
    protocols: &[&str],
) -> ClientConfig {
    let mut config = server.authority.client_config(&[version]);
    let protocols = protocols.iter().map(|name| name.as_bytes().to_vec());
    config.alpn_protocols = protocols.collect();
    config
}

#[test]
fn a_new_certificate_is_read_without_losing_a_connection() {
    let authority = Authority::new();
    let (old, new) = (
        authority.issue(&["localhost"]),
        authority.issue(&["localhost", "new.test"]),
    );
    let site = Site::new();
    site.sparse("big", 16 << 20);
    for loops in ["1", "3"] {
        let authority = authority.clone();
        let pairs = [("pair", old.clone())];
        let server = HttpsServer::with_pairs(&site, authority, &pairs, &["-n", loops]);
        let (mut idle, mut busy) = (server.connect(), server.connect());
        idle.assert_open();
        busy.send(crate::support::get("/big")).read_head();
        assert!(!accepts(&server, "new.test"));
        new.write(&site, "pair");
        server.signal(Signal::HUP);
        wait_until("the new certificate is used", || {
            accepts(&server, "new.test")
        });
        for _ in 0..6 {
            assert!(accepts(&server, "new.test"));
        }
        idle.assert_open();
        assert_eq!(busy.take(16 << 20).len(), 16 << 20);
        busy.assert_open();
    }
}

#[test]
fn a_bad_new_certificate_leaves_the_old_one_in_force() {
    let authority = Authority::new();
    let (old, other) = (
        authority.issue(&["localhost"]),
        authority.issue(&["localhost"]),
    );
    let site = Site::new();
    let server = HttpsServer::with_pairs(&site, authority, &[("pair", old)], &[]);
    let key = site.beside("pair.key");
    for (content, lines) in [(other.key.as_str(), 1), ("", 2), ("no key\n", 3)] {
        fs::write(&key, content).unwrap();
        server.signal(Signal::HUP);
        let logged = server.log_lines(lines);
        let last = logged.last().unwrap();
        assert!(
            last.starts_with("httpoll: ") && last.contains("pair."),
            "{last}"
        );
        assert!(accepts(&server, "localhost"));
    }
}
