//! OCSP responses beside a certificate, made by openssl.

use std::time::Duration;

use super::super::ocsp::next_update;
use super::*;

/// Makes a certificate that is its own issuer, and a response for it beside it.
fn make_response(directory: &Directory, state: &str) -> bool {
    let revoked = if state == "R" { "250101000000Z" } else { "" };
    directory.write(
        "index",
        format!("{state}\t991231235959Z\t{revoked}\t01\tunknown\t/CN=x\n"),
    );
    let request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -set_serial 1 -keyout key -out site.pem";
    let response = "ocsp -index index -CA site.pem -rsigner site.pem -rkey key -issuer site.pem -cert site.pem -ndays 7 -respout site.pem.ocsp";
    [request, response]
        .iter()
        .all(|arguments| openssl(directory.0.path(), arguments))
}

/// Returns the response that a client gets.
fn stapled(directory: &Directory) -> io::Result<Vec<u8>> {
    let files = CertificateFiles::new(directory.path("site.pem"));
    let tls = TlsConfig::from_files([files.with_key(directory.path("key"))])?;
    let verifier = Arc::new(AcceptAll {
        schemes: ECDSA.to_vec(),
        ocsp: Mutex::default(),
    });
    handshake(&tls, &client_with(&verifier), "example.org").unwrap();
    let ocsp = verifier.ocsp.lock().unwrap();
    Ok(ocsp.clone())
}

#[test]
fn a_response_is_stapled_until_it_is_stale() {
    let directory = Directory::new();
    if !make_response(&directory, "V") {
        return;
    }
    let response = fs::read(directory.path("site.pem.ocsp")).unwrap();
    assert!(stapled(&directory).unwrap() == response);
    let stale = next_update(&response).unwrap().unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    let week = Duration::from_secs(7 * 86_400);
    assert!((now + week).abs_diff(stale) < Duration::from_secs(3600));

    // This breaks the signature, which only a client looks at.
    let year = generalized_time_year(&response);
    let mut old = response.clone();
    old[year..year + 4].copy_from_slice(b"2001");
    directory.write("site.pem.ocsp", &old);
    assert!(stapled(&directory).unwrap().is_empty());

    directory.write("site.pem.ocsp", "");
    assert!(stapled(&directory).unwrap().is_empty());
    fs::remove_file(directory.path("site.pem.ocsp")).unwrap();
    assert!(stapled(&directory).unwrap().is_empty());
}

/// Returns where the year of nextUpdate begins: it is the third GeneralizedTime, behind producedAt and thisUpdate.
fn generalized_time_year(response: &[u8]) -> usize {
    let times = response.windows(4).enumerate();
    let times = times.filter(|(_, bytes)| bytes.starts_with(&[24, 15, b'2', b'0']));
    times.map(|(at, _)| at + 2).nth(2).unwrap()
}

#[test]
fn a_response_that_clients_would_refuse_is_named_with_the_reason() {
    let directory = Directory::new();
    if !make_response(&directory, "R") {
        return;
    }
    let path = directory.path("site.pem.ocsp");
    let cannot_use =
        |reason: &str| format!("cannot use the OCSP response {}: {reason}", path.display());
    let reason = || stapled(&directory).unwrap_err().to_string();
    assert_eq!(
        reason(),
        cannot_use("it does not say that the certificate is good")
    );
    directory.write("site.pem.ocsp", [0x30, 3, 10, 1, 6]);
    assert_eq!(
        reason(),
        cannot_use("it says that the request for it failed")
    );
    for content in ["-----BEGIN", "0", "<html>"] {
        directory.write("site.pem.ocsp", content);
        assert_eq!(reason(), cannot_use("it is no OCSP response in DER"));
    }
}
