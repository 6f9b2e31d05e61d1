//! A certificate chain: what TLS sends, and what the server has to know of its own certificate (RFC 5280).
//!
//! Only the first certificate, the server's own, is examined. A client looks for a path of its own and may not need an expired
//! intermediate certificate, so only clients can say whether one is wrong.

use std::io;
use std::time::Duration;

use pem::Pem;
use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::pem_file::wrong;
use crate::http::date::imf_fixdate;

#[derive(Debug)]
pub(super) struct Chain {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    /// The DNS names of the subjectAltName in small letters; a wildcard begins with `*.`.
    pub(super) names: Vec<String>,
    /// The public key as SubjectPublicKeyInfo in DER.
    pub(super) public_key: Vec<u8>,
}

/// Takes all certificates of a PEM file; `now` is the time since 1970.
///
/// # Errors
/// There is none, or the first one is damaged, expired or not yet valid.
pub(super) fn chain(sections: &[Pem], now: Duration) -> io::Result<Chain> {
    let certificates: Vec<_> = sections
        .iter()
        .filter(|section| matches!(section.tag(), "CERTIFICATE" | "X509 CERTIFICATE"))
        .map(|section| CertificateDer::from(section.contents().to_vec()))
        .collect();
    let own = certificates
        .first()
        .ok_or_else(|| wrong(reason_for_none(sections)))?;
    let own = Certificate::from_der(own)
        .map_err(|error| wrong(format!("its first certificate is damaged: {error}")))?;
    check_validity(&own, now)?;
    let public_key = own.tbs_certificate().subject_public_key_info().to_der();
    let public_key = public_key.map_err(io::Error::other)?;
    Ok(Chain {
        names: dns_names(&own)?,
        certificates,
        public_key,
    })
}

fn reason_for_none(sections: &[Pem]) -> &'static str {
    let has = |end| sections.iter().any(|section| section.tag().ends_with(end));
    if has("CERTIFICATE REQUEST") {
        "it holds a certificate signing request, and no certificate"
    } else if has("PRIVATE KEY") {
        "it holds a private key, and no certificate"
    } else {
        "it holds no certificate"
    }
}

fn check_validity(own: &Certificate, now: Duration) -> io::Result<()> {
    let validity = own.tbs_certificate().validity();
    let not_before = validity.not_before.to_unix_duration();
    let not_after = validity.not_after.to_unix_duration();
    let date = |time: Duration| {
        let date = imf_fixdate(time.as_secs());
        String::from_utf8_lossy(date.as_bytes()).into_owned()
    };
    if now < not_before {
        return Err(wrong(format!(
            "it is not valid before {}",
            date(not_before)
        )));
    }
    // The second of notAfter belongs to the validity.
    if now.as_secs() > not_after.as_secs() {
        return Err(wrong(format!("it expired on {}", date(not_after))));
    }
    Ok(())
}

fn dns_names(own: &Certificate) -> io::Result<Vec<String>> {
    let names = own.tbs_certificate().get_extension::<SubjectAltName>();
    let names = names.map_err(|error| wrong(format!("its subjectAltName is damaged: {error}")))?;
    let Some((_, SubjectAltName(names))) = names else {
        return Ok(Vec::new());
    };
    Ok(names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
            _ => None,
        })
        .collect())
}
