//! Certificates, keys and messages, with certificates that rcgen and openssl make.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ServerConnection, SignatureScheme,
};

use super::config::{CertificateFiles, TlsConfig};
use super::provider::provider;

mod directories;
mod keys;
mod messages;
mod names;
mod ocsp;
mod properties;
mod streams;

/// A certificate and its key in PEM.
pub(super) struct Made {
    pub(super) certificate: String,
    pub(super) key: String,
    der: Vec<u8>,
}

pub(super) fn make(names: &[&str]) -> Made {
    make_with(names, &KeyPair::generate().unwrap(), |_| {})
}

fn make_with(names: &[&str], key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Made {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    change(&mut params);
    let certificate = params.self_signed(key).unwrap();
    Made {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        der: certificate.der().to_vec(),
    }
}

/// A directory of files that are named by what they hold.
struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Writes a pair as one file.
    fn pair(&self, name: &str, made: &Made) -> CertificateFiles {
        CertificateFiles::new(self.write(name, format!("{}{}", made.certificate, made.key)))
    }
}

/// Accepts every certificate, offers only the signature schemes that a test names, and keeps the OCSP response.
#[derive(Debug)]
struct AcceptAll {
    schemes: Vec<SignatureScheme>,
    ocsp: Mutex<Vec<u8>>,
}

impl ServerCertVerifier for AcceptAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.ocsp.lock().unwrap() = ocsp.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

pub(super) const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];
const RSA: &[SignatureScheme] = &[SignatureScheme::RSA_PSS_SHA256];

pub(super) fn client(schemes: &[SignatureScheme]) -> ClientConfig {
    client_with(&accept_all(schemes))
}

fn accept_all(schemes: &[SignatureScheme]) -> Arc<AcceptAll> {
    Arc::new(AcceptAll {
        schemes: schemes.to_vec(),
        ocsp: Mutex::default(),
    })
}

fn client_with(verifier: &Arc<AcceptAll>) -> ClientConfig {
    client_of(verifier, rustls::ALL_VERSIONS)
}

fn client_of(
    verifier: &Arc<AcceptAll>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    client_of_provider(provider(), verifier, versions)
}

fn client_of_provider(
    provider: Arc<CryptoProvider>,
    verifier: &Arc<AcceptAll>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(verifier) as Arc<_>)
        .with_no_client_auth()
}

/// Connects; an IP address as the name makes the client send none.
fn handshake(
    tls: &TlsConfig,
    client: &ClientConfig,
    name: &str,
) -> Result<ClientConnection, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client.clone()), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(tls.server_config())).unwrap();
    let mut result = Ok(());
    for _ in 0..4 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        server.read_tls(&mut wire.as_slice()).unwrap();
        result = result.and(server.process_new_packets().map(drop));
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        client.read_tls(&mut wire.as_slice()).unwrap();
        result = result.and(client.process_new_packets().map(drop));
    }
    result.map(|()| client)
}

/// Returns the first certificate that a client gets which sends this name.
fn served(tls: &TlsConfig, name: &str) -> Vec<u8> {
    let connection = handshake(tls, &client(ECDSA), name).unwrap();
    connection.peer_certificates().unwrap()[0].to_vec()
}

fn message(result: io::Result<TlsConfig>) -> String {
    result
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default()
}

/// Runs openssl; `false` if it is not installed, or not able to do that.
fn openssl(directory: &Path, arguments: &str) -> bool {
    let mut command = std::process::Command::new("openssl");
    command.current_dir(directory).args(arguments.split(' '));
    command.output().is_ok_and(|output| output.status.success())
}
