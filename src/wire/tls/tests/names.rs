//! Which certificate a client gets, and what it may resume.

use super::*;

#[test]
fn the_server_name_chooses_the_certificate() {
    let directory = Directory::new();
    let made = [
        make(&[]),
        make(&["Example.org", "*.example.org"]),
        make(&["exact.example.org", "*.a.example.org"]),
    ];
    let files = made
        .iter()
        .enumerate()
        .map(|(i, made)| directory.pair(&i.to_string(), made));
    let tls = TlsConfig::from_files(files).unwrap();
    let table = [
        ("example.org", 1),
        ("EXAMPLE.ORG", 1),
        ("www.example.org", 1),
        ("exact.example.org", 2),
        ("www.a.example.org", 2),
        ("a.example.org", 1),
        ("x.www.example.org", 0),
        ("xexample.org", 0),
        ("org", 0),
        ("example.net", 0),
        ("127.0.0.1", 0),
    ];
    for (name, expected) in table {
        assert!(served(&tls, name) == made[expected].der, "{name}");
    }
}

#[test]
fn of_two_certificates_for_a_name_the_client_gets_the_one_whose_key_it_can_use() {
    let directory = Directory::new();
    let rsa = KeyPair::from_pem(&fs::read_to_string(rsa_key(&directory)).unwrap()).unwrap();
    let made = [
        make_with(&["example.org"], &rsa, |_| {}),
        make(&["example.org"]),
    ];
    let files = [
        directory.pair("rsa", &made[0]),
        directory.pair("ecdsa", &made[1]),
    ];
    for files in [files.to_vec(), files.iter().rev().cloned().collect()] {
        let tls = TlsConfig::from_files(files).unwrap();
        for name in ["example.org", "example.net", "127.0.0.1"] {
            for (schemes, expected) in [(RSA, 0), (ECDSA, 1)] {
                let connection = handshake(&tls, &client(schemes), name).unwrap();
                assert!(connection.peer_certificates().unwrap()[0].to_vec() == made[expected].der);
            }
        }
    }
    let tls = TlsConfig::from_files([directory.pair("ecdsa", &made[1])]).unwrap();
    assert!(handshake(&tls, &client(RSA), "example.org").is_err());
}

#[test]
fn a_reload_replaces_all_certificates_or_none_and_clients_resume_across_it() {
    let directory = Directory::new();
    let old = [make(&["a.example"]), make(&["b.example"])];
    let new = [make(&["a.example"]), make(&["b.example"])];
    let files = [directory.pair("a", &old[0]), directory.pair("b", &old[1])];
    let tls = TlsConfig::from_files(files).unwrap();
    let clone = tls.clone();
    let clients = rustls::ALL_VERSIONS.iter().map(|version| {
        let verifier = AcceptAll {
            schemes: ECDSA.to_vec(),
            ocsp: Mutex::default(),
        };
        client_of(&Arc::new(verifier), &[*version])
    });
    let clients: Vec<_> = clients.collect();
    let kinds = || -> Vec<_> {
        let kind = |client| {
            handshake(&tls, client, "a.example")
                .unwrap()
                .handshake_kind()
        };
        clients.iter().map(kind).collect()
    };
    assert_eq!(kinds(), [Some(rustls::HandshakeKind::Full); 2]);

    directory.pair("a", &new[0]);
    directory.write("b", &new[1].certificate);
    assert!(
        clone
            .reload()
            .unwrap_err()
            .to_string()
            .contains("/b: it holds no private key")
    );
    assert!(served(&tls, "a.example") == old[0].der);

    directory.pair("b", &new[1]);
    clone.reload().unwrap();
    assert!(served(&tls, "a.example") == new[0].der);
    assert!(served(&tls, "b.example") == new[1].der);
    assert_eq!(kinds(), [Some(rustls::HandshakeKind::Resumed); 2]);
}

#[test]
fn a_configuration_is_shared_by_threads() {
    fn is_shared<T: Clone + Send + Sync + 'static>() {}
    is_shared::<TlsConfig>();
}

#[test]
fn only_versions_of_http_1_are_negotiated() {
    let made = make(&["example.org"]);
    let tls = TlsConfig::from_pem(format!("{}{}", made.key, made.certificate).as_bytes()).unwrap();
    tls.reload().unwrap();
    let table: [(&[&str], Option<&str>); 5] = [
        (&[], Some("")),
        (&["h2", "http/1.1"], Some("http/1.1")),
        (&["http/1.0", "http/1.1"], Some("http/1.1")),
        (&["http/1.0"], Some("http/1.0")),
        (&["h2"], None),
    ];
    for (offered, expected) in table {
        let mut client = client(ECDSA);
        client.alpn_protocols = offered.iter().map(|name| (*name).into()).collect();
        let connection = handshake(&tls, &client, "example.org").ok();
        let chosen =
            connection.map(|connection| connection.alpn_protocol().unwrap_or_default().to_vec());
        assert_eq!(chosen, expected.map(Into::into), "{offered:?}");
    }
}

fn rsa_key(directory: &Directory) -> PathBuf {
    directory.write("rsa.key", keys::RSA_KEY)
}
