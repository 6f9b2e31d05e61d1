//! What no client of HTTPS sends: the server answers with an alert or closes, and serves the next client.

use std::io::{ErrorKind, Read as _, Write as _};
use std::process::{Command, Output, Stdio};

use rustls::version::{TLS12, TLS13};

use crate::common::memory;
use crate::support::{Client, Handshake, HttpsServer, Site, TlsClient, get, skip};

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

fn server() -> HttpsServer {
    HttpsServer::start(&Site::new())
}

fn record(kind: u8, version: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    let version = version.to_be_bytes();
    let header = [kind, version[0], version[1]];
    [&header, &length.to_be_bytes()[..], content].concat()
}

/// A ClientHello without extensions, in its record.
fn client_hello(version: u16, suites: &[u16], compressions: &[u8]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    body.push(0);
    body.extend(u16::try_from(2 * suites.len()).unwrap().to_be_bytes());
    body.extend(suites.iter().flat_map(|suite| suite.to_be_bytes()));
    body.push(u8::try_from(compressions.len()).unwrap());
    body.extend(compressions);
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [&[1, length[1], length[2], length[3]], &body[..]].concat();
    record(HANDSHAKE, version.min(0x0301), &message)
}

/// Sends `bytes` on a new connection, and asserts that the server closes after nothing, or after one alert; returns its description.
#[track_caller]
fn refusal(server: &HttpsServer, bytes: &[u8]) -> Option<u8> {
    let mut client = server.connect_plain();
    client.send(bytes);
    let description = read_refusal(&mut client);
    server.assert_serving();
    description
}

#[track_caller]
fn read_refusal(client: &mut Client) -> Option<u8> {
    let mut reply = Vec::new();
    // A client that has sent more than the server has read may get a reset behind the alert.
    if let Err(error) = client.stream().read_to_end(&mut reply) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    }
    match reply.as_slice() {
        [] => None,
        [ALERT, 3, _, 0, 2, _, description] => Some(*description),
        _ => panic!("neither an alert nor a close: {}", reply.escape_ascii()),
    }
}

#[test]
fn what_is_no_record_is_refused() {
    let server = server();
    let padding = [0; 100];
    for bytes in [
        &[0; 100][..],
        &[0xff; 100],
        b"\0",
        &[&[HANDSHAKE], &b"GET / HTTP/1.1\r\n\r\n"[..]].concat(),
        // A record of a kind that does not exist, one without content, and two that are too long.
        &record(150, 0x0301, &padding),
        &record(HANDSHAKE, 0x0301, &[]),
        &record(HANDSHAKE, 0x0303, &[1; 16 * 1024 + 2049]),
        &[HANDSHAKE, 3, 1, 0xff, 0xff, 1, 0, 0xff, 0xff],
        // The version of a record begins with 3.
        &record(HANDSHAKE, 0x0909, &padding),
    ] {
        refusal(&server, bytes);
    }
}

#[test]
fn what_is_no_client_hello_is_refused() {
    let server = server();
    for (content, kind) in [
        // A request, a ServerHello, a Finished, and a message of 16 MiB.
        (get("/").into_bytes(), APPLICATION_DATA),
        ([&[2, 0, 0, 40][..], &[3; 40]].concat(), HANDSHAKE),
        ([&[20, 0, 0, 12][..], &[3; 12]].concat(), HANDSHAKE),
        (
            [&[1, 0xff, 0xff, 0xff][..], &[3; 16_000]].concat(),
            HANDSHAKE,
        ),
        // ChangeCipherSpec.
        (vec![1], 20),
    ] {
        refusal(&server, &record(kind, 0x0303, &content));
    }
}

#[test]
fn a_second_client_hello_is_refused() {
    let server = server();
    for version in [&TLS12, &TLS13] {
        let mut handshake = Handshake::with(&server, server.authority.client_config(&[version]));
        let hello = handshake.flight();
        handshake.send(&hello.repeat(2));
        assert!(handshake.complete().is_err());
        server.assert_serving();
    }
}

#[test]
fn outdated_versions_are_refused() {
    let server = server();
    let suites = [0x002f, 0x0035, 0xc013, 0xc014, 0x000a];
    // The alert is handshake_failure, because rustls looks at the signature algorithms first, which these versions do not name.
    for version in [0x0300, 0x0301, 0x0302] {
        let hello = client_hello(version, &suites, &[0]);
        assert_eq!(refusal(&server, &hello), Some(40), "{version:#x}");
    }
    // The hello of SSL 2, alone and as a wrapper of newer versions.
    for version in [[0, 2], [3, 1], [3, 3]] {
        let head = [0x80, 0x2e, 1, version[0], version[1], 0, 21, 0, 0, 0, 16];
        refusal(&server, &[&head[..], &[1; 64]].concat());
    }
}

#[test]
fn weak_algorithms_are_refused() {
    let server = server();
    for (name, suites) in [
        ("RC4", &[0x0004, 0x0005, 0xc007, 0xc011][..]),
        ("export", &[0x0003, 0x0006, 0x0008, 0x0014]),
        ("NULL", &[0x0000, 0x0001, 0x0002, 0x003b, 0xc006]),
        (
            "CBC",
            &[0x002f, 0x0035, 0xc009, 0xc00a, 0xc013, 0xc023, 0xc027],
        ),
        ("without forward secrecy", &[0x009c, 0x009d]),
        ("anonymous", &[0x0034, 0x00a6, 0xc018]),
        ("3DES", &[0x000a, 0x0016, 0xc008, 0xc012]),
        ("none", &[]),
    ] {
        let hello = client_hello(0x0303, suites, &[0]);
        assert!(refusal(&server, &hello).is_some(), "{name}");
    }
    // Compression, and no way without it.
    refusal(&server, &client_hello(0x0303, &[0xc02b], &[1]));
    refusal(&server, &client_hello(0x0303, &[0xc02b], &[]));
}

#[test]
fn alerts_before_the_handshake_end_the_connection() {
    let server = server();
    let (warning, fatal) = (1, 2);
    let alert = |level, description| record(ALERT, 0x0301, &[level, description]);
    let (close_notify, handshake_failure, no_renegotiation) = (0, 40, 100);
    // Without keys, close_notify is worth no more than any other warning: the client may still begin.
    let mut client = server.connect_plain();
    client.send(alert(warning, close_notify)).half_close();
    assert_eq!(read_refusal(&mut client), None);
    refusal(&server, &alert(fatal, handshake_failure));
    refusal(&server, &alert(warning, no_renegotiation).repeat(5));
    refusal(&server, &record(ALERT, 0x0301, &[1]));
    refusal(&server, &record(ALERT, 0x0301, &[9, 255]));
}

#[test]
fn a_client_hello_may_be_fragmented_into_records_of_one_byte() {
    let server = server();
    for version in [&TLS12, &TLS13] {
        let config = server.authority.client_config(&[version]);
        let mut handshake = Handshake::with(&server, config);
        let hello = handshake.flight();
        let records: Vec<u8> = hello[5..]
            .iter()
            .flat_map(|byte| record(HANDSHAKE, 0x0301, &[*byte]))
            .collect();
        handshake.send(&records);
        let mut client = handshake.complete().unwrap();
        assert_eq!(client.get("/hello.txt").body, b"Hello, world!\n");
    }
}

/// Asserts that the server ends the connection with an error.
fn assert_fails(mut client: TlsClient) {
    let error = loop {
        match client.stream_mut().read(&mut [0; 1024]) {
            Ok(length) => assert!(length > 0, "close_notify"),
            Err(error) => break error,
        }
    };
    assert!(error.kind() != ErrorKind::WouldBlock, "{error}");
}

#[test]
fn key_updates_are_followed() {
    let server = server();
    let config = server.authority.client_config(&[&TLS13]);
    let mut client = server.connect_with(config);
    let mut before = 0;
    for round in 0..2_000 {
        client.tls_mut().refresh_traffic_keys().unwrap();
        assert_eq!(client.get("/hello.txt").body, b"Hello, world!\n");
        if round == 100 {
            before = memory(server.id(), "VmRSS");
        }
    }
    let more = memory(server.id(), "VmRSS").saturating_sub(before);
    assert!(more < 512, "{more} KiB");
}

#[test]
fn ten_thousand_key_updates_in_a_row_cost_no_memory() {
    let server = server();
    server.assert_serving();
    let before = memory(server.id(), "VmRSS");
    let config = server.authority.client_config(&[&TLS13]);
    let mut client = server.connect_with(config);
    for _ in 0..10_000 {
        client.tls_mut().refresh_traffic_keys().unwrap();
        let mut record = Vec::new();
        client.tls_mut().write_tls(&mut record).unwrap();
        // The server may end the connection.
        if client.tcp().write_all(&record).is_err() {
            break;
        }
    }
    let more = memory(server.id(), "VmRSS").saturating_sub(before);
    assert!(more < 1024, "{more} KiB");
    server.assert_serving();
}

#[test]
fn empty_records_without_end_end_the_connection_or_are_ignored() {
    let server = server();
    let config = server.authority.client_config(&[&TLS12]);
    let mut handshake = Handshake::with(&server, config);
    let hello = handshake.flight();
    handshake.send(&hello);
    let empty = record(APPLICATION_DATA, 0x0303, &[]);
    handshake.send(&empty.repeat(40));
    assert!(handshake.complete().is_err());
    server.assert_serving();
}

#[test]
fn a_flood_of_change_cipher_specs_ends_the_connection() {
    let server = server();
    let config = server.authority.client_config(&[&TLS13]);
    let mut handshake = Handshake::with(&server, config);
    let hello = handshake.flight();
    handshake.send(&hello).receive();
    handshake.send(&record(20, 0x0303, &[1]).repeat(100));
    // The client's own part may be complete before it reads the alert.
    if let Ok(client) = handshake.complete() {
        assert_fails(client);
    }
    server.assert_serving();
}

/// Runs `openssl s_client` with `input` as its standard input; `None` where it is not installed.
fn s_client(server: &HttpsServer, options: &[&str], input: &str) -> Option<Output> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &server.address().to_string()]);
    command.args(options).stdin(Stdio::piped());
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        skip("there is no openssl");
        return None;
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    Some(child.wait_with_output().unwrap())
}

#[test]
fn outdated_versions_of_openssl_are_refused() {
    let server = server();
    for version in ["-tls1", "-tls1_1"] {
        let options = [version, "-cipher", "ALL:@SECLEVEL=0"];
        let Some(output) = s_client(&server, &options, "") else {
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        let alerts = ["alert protocol version", "alert handshake failure"];
        assert!(alerts.iter().any(|alert| said.contains(alert)), "{said}");
    }
    server.assert_serving();
}

#[test]
fn renegotiation_is_refused() {
    let server = server();
    // The line R asks s_client to renegotiate; it ends when the server does not want to.
    let Some(output) = s_client(&server, &["-tls1_2"], "R\n") else {
        return;
    };
    let (stdout, stderr) = (&output.stdout, &output.stderr);
    let said = String::from_utf8_lossy(stdout) + String::from_utf8_lossy(stderr);
    assert!(said.contains("RENEGOTIATING"), "{said}");
    assert!(!said.contains("\nread R BLOCK\n"), "{said}");
    server.assert_serving();
}
