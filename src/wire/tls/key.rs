//! A private key: PKCS #8 (RFC 5958), also encrypted, PKCS #1 (RFC 8017) or SEC 1 (RFC 5915), in a PEM file.

use std::io;
use std::sync::Arc;

use pem::Pem;
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::pkcs5::{self, EncryptionScheme, pbes2::Kdf};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use rustls::sign::SigningKey;

use super::pem_file::wrong;

/// OpenSSL makes 2,048 iterations; this many take about a second.
const MAX_ITERATIONS: u32 = 2_000_000;
/// 32 MiB in blocks of 128 bytes.
const MAX_SCRYPT_BLOCKS: u64 = 32 * 1024 * 1024 / 128;

/// Takes the first private key of a PEM file, as OpenSSL does. A password is used only if the key is encrypted.
///
/// # Errors
/// There is none, its password is missing or wrong, or the provider does not support it.
pub(super) fn signing_key(
    sections: &[Pem],
    password: Option<&[u8]>,
    provider: &CryptoProvider,
) -> io::Result<Arc<dyn SigningKey>> {
    let section = sections
        .iter()
        .find(|section| section.tag().ends_with("PRIVATE KEY"))
        .ok_or_else(|| wrong("it holds no private key"))?;
    let key = decode(section, password)?;
    provider.key_provider.load_private_key(key).map_err(|_| {
        wrong("its key is damaged or of a kind that is not supported; RSA from 2048 bits, ECDSA P-256 and P-384 and Ed25519 are")
    })
}

fn decode(section: &Pem, password: Option<&[u8]>) -> io::Result<PrivateKeyDer<'static>> {
    let is_encrypted = section.headers().get("Proc-Type");
    if is_encrypted.is_some_and(|value| value.contains("ENCRYPTED")) {
        return Err(wrong(
            "its key is encrypted in the format of old versions of OpenSSL; openssl pkcs8 -topk8 -in OLD -out NEW converts it",
        ));
    }
    let der = || section.contents().to_vec();
    match section.tag() {
        "PRIVATE KEY" => Ok(PrivatePkcs8KeyDer::from(der()).into()),
        "RSA PRIVATE KEY" => Ok(PrivatePkcs1KeyDer::from(der()).into()),
        "EC PRIVATE KEY" => Ok(PrivateSec1KeyDer::from(der()).into()),
        "ENCRYPTED PRIVATE KEY" => {
            let password = password.ok_or_else(|| {
                wrong("its key is encrypted, and no password file is named for it")
            })?;
            let key = decrypt(section.contents(), password)?;
            Ok(PrivatePkcs8KeyDer::from(key).into())
        }
        "OPENSSH PRIVATE KEY" => Err(wrong(
            "its key is in the format of OpenSSH; ssh-keygen -p -m pkcs8 -f FILE converts it",
        )),
        _ => Err(wrong("its key is of a kind that is not supported")),
    }
}

fn decrypt(der: &[u8], password: &[u8]) -> io::Result<Vec<u8>> {
    let unsupported = || {
        wrong(
            "the encryption of its key is damaged or not supported; openssl pkcs8 -topk8 -in OLD -out NEW makes one that is",
        )
    };
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| unsupported())?;
    if !is_affordable(&encrypted.encryption_algorithm) {
        return Err(unsupported());
    }
    match encrypted.decrypt(password) {
        Ok(key) => Ok(key.as_bytes().to_vec()),
        Err(pkcs8::Error::EncryptedPrivateKey(
            pkcs5::Error::AlgorithmParametersInvalid { .. }
            | pkcs5::Error::UnsupportedAlgorithm { .. },
        )) => Err(unsupported()),
        // A wrong password leaves wrong padding or, once in 256 times, bytes that are no key.
        Err(_) => Err(wrong("the password of its key is wrong")),
    }
}

/// Returns whether deriving a key from the password takes a bounded time and memory. A damaged file can ask for hours or
/// terabytes, and without a limit no later reload would be done. For scrypt the bound is the 32 MiB that OpenSSL has too.
fn is_affordable(encryption: &EncryptionScheme) -> bool {
    match encryption {
        EncryptionScheme::Pbes2(parameters) => match &parameters.kdf {
            Kdf::Pbkdf2(pbkdf2) => (1..=MAX_ITERATIONS).contains(&pbkdf2.iteration_count),
            Kdf::Scrypt(scrypt) => {
                let lanes = u64::from(scrypt.block_size) * u64::from(scrypt.parallelization);
                let blocks = scrypt.cost_parameter.saturating_mul(lanes);
                (1..=MAX_SCRYPT_BLOCKS).contains(&blocks)
            }
            _ => false,
        },
        _ => false,
    }
}
