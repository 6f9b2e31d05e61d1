//! What is said about files that cannot be used.

use std::time::{Duration, SystemTime};

use super::*;

fn pem(label: &str, content: &[u8]) -> String {
    pem::encode(&pem::Pem::new(label, content))
}

#[test]
fn a_certificate_that_cannot_be_used_is_named_with_the_reason() {
    let directory = Directory::new();
    let made = make(&["example.org"]);
    let other = make(&["example.org"]);
    let both = format!("{}{}", made.certificate, made.key);
    let binary = "it is binary (DER or PKCS #12), and has to be PEM; openssl x509, pkey and pkcs12 convert it";
    let table: [(Vec<u8>, &str); 10] = [
        (" \n".into(), "it is empty"),
        ("no certificate".into(), "it holds no certificate"),
        (made.der.clone(), binary),
        (
            made.key.clone().into(),
            "it holds a private key, and no certificate",
        ),
        (
            pem("CERTIFICATE REQUEST", b"x").into(),
            "it holds a certificate signing request, and no certificate",
        ),
        (both[..200].into(), "it holds no certificate"),
        (
            both.replacen('M', "?", 1).into(),
            "a section of it is damaged",
        ),
        (
            pem("CERTIFICATE", &made.der[..50]).into(),
            "its first certificate is damaged",
        ),
        (vec![b' '; 1024 * 1024 + 1], "larger than 1 MiB"),
        (made.certificate.clone().into(), "it holds no private key"),
    ];
    for (content, reason) in table {
        let message = said_of(&directory, &content);
        let expected = format!("cannot use the certificate site.pem: {reason}");
        assert!(message.starts_with(&expected), "{message}");
        assert_eq!(message.lines().count(), 1);
    }
    let mismatch = format!("{}{}", made.certificate, other.key);
    assert_eq!(
        said_of(&directory, mismatch.as_bytes()),
        "cannot use the certificate site.pem: its key does not belong to the first certificate of site.pem"
    );
}

#[test]
fn a_file_may_hold_more_than_the_chain_and_its_key() {
    let directory = Directory::new();
    let Made {
        certificate, key, ..
    } = make(&["example.org"]);
    let other = make(&["example.org"]);
    let parameters = pem("DH PARAMETERS", b"x");
    let table = [
        format!("{key}{certificate}"),
        format!("friendlyName: \u{e4}\n{certificate}{key}"),
        format!("{certificate}{key}").replace('\n', "\r\n"),
        format!("{certificate}{key}{}", other.key),
        format!("{parameters}{certificate}{key}{}", other.certificate),
    ];
    for content in table {
        assert_eq!(said_of(&directory, content.as_bytes()), "");
    }
}

/// Returns what is said of a file `site.pem` with this content.
fn said_of(directory: &Directory, content: &[u8]) -> String {
    let path = directory.write("site.pem", content);
    let message = message(TlsConfig::from_files([CertificateFiles::new(path)]));
    message.replace(&format!("{}/", directory.0.path().display()), "")
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_the_reason() {
    let directory = Directory::new();
    let good = directory.pair("good", &make(&[]));
    let absent = directory.path("absent");
    let pipe = directory.path("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let empty = directory.write("nothing", "\n");
    let table = [
        (
            CertificateFiles::new(&absent),
            "certificate",
            "absent: No such file or directory (os error 2)",
        ),
        (
            CertificateFiles::new(directory.0.path().join(".")),
            "certificate",
            ".: not a regular file",
        ),
        (
            CertificateFiles::new(&pipe),
            "certificate",
            "pipe: not a regular file",
        ),
        (
            good.clone().with_key(&absent),
            "private key",
            "absent: No such file or directory (os error 2)",
        ),
        (
            good.clone().with_key(&empty),
            "private key",
            "nothing: it is empty",
        ),
        (
            good.clone().with_password_file(&absent),
            "password file",
            "absent: No such file or directory (os error 2)",
        ),
        (
            good.clone().with_password_file(&empty),
            "password file",
            "nothing: it is empty",
        ),
    ];
    for (files, what, expected) in table {
        let message = message(TlsConfig::from_files([files]));
        let message = message.replace(&format!("{}/", directory.0.path().display()), "");
        assert_eq!(message, format!("cannot use the {what} {expected}"));
    }
    let password = directory.write("password", "x");
    assert_eq!(
        message(TlsConfig::from_files([good.with_password_file(password)])),
        ""
    );
    assert_eq!(
        message(TlsConfig::from_files([])),
        "no certificate is named"
    );
    assert_eq!(
        message(TlsConfig::from_pem(b"")),
        "cannot use the certificate: it is empty"
    );
}

#[test]
fn a_certificate_has_to_be_in_date() {
    let key = KeyPair::generate().unwrap();
    let config = |from: i64, to: i64| {
        let now = SystemTime::now();
        let at = |seconds: i64| match u64::try_from(seconds) {
            Ok(seconds) => now + Duration::from_secs(seconds),
            Err(_) => now - Duration::from_secs(seconds.unsigned_abs()),
        };
        let made = make_with(&[], &key, |params| {
            params.not_before = at(from).into();
            params.not_after = at(to).into();
        });
        message(TlsConfig::from_pem(
            format!("{}{}", made.certificate, made.key).as_bytes(),
        ))
    };
    assert_eq!(config(-60, 60), "");
    let early = config(3600, 7200);
    assert!(
        early.starts_with("cannot use the certificate: it is not valid before "),
        "{early}"
    );
    assert!(early.ends_with(" GMT"), "{early}");
    let late = config(-86_400 * 400, -86_400 * 366);
    assert!(
        late.starts_with("cannot use the certificate: it expired on "),
        "{late}"
    );
}

#[test]
fn an_expired_intermediate_certificate_is_left_to_the_clients() {
    let made = make(&[]);
    let expired = make_with(&[], &KeyPair::generate().unwrap(), |params| {
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    });
    let chain = format!("{}{}{}", made.certificate, expired.certificate, made.key);
    let tls = TlsConfig::from_pem(chain.as_bytes()).unwrap();
    let connection = handshake(&tls, &client(ECDSA), "example.org").unwrap();
    assert_eq!(connection.peer_certificates().unwrap().len(), 2);
}

#[test]
fn a_certificate_of_version_1_is_used() {
    let directory = Directory::new();
    let is_made = openssl(
        directory.0.path(),
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -keyout key -out csr",
    ) && openssl(
        directory.0.path(),
        "x509 -req -in csr -signkey key -out certificate",
    );
    if is_made {
        let files = CertificateFiles::new(directory.path("certificate"));
        let files = files.with_key(directory.path("key"));
        assert_eq!(message(TlsConfig::from_files([files])), "");
    }
}
