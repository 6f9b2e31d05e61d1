//! Any bytes are a configuration or an error, and never a panic.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::key::signing_key;
use super::super::ocsp::next_update;
use super::super::pem_file::PemFile;
use super::*;

/// TEST keys, made for this file, encrypted with the password `x`: by PBKDF2, and by scrypt with N = 2.
const ENCRYPTED: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHrMFYGCSqGSIb3DQEFDTBJMCgGCSqGSIb3DQEFDDAbBAgctaBDoJjKcgIBATAM
BggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQoN5nQLjN70ocFE60QcAzwwSBkHtC
5qs99xQoxlWh8B0UIf2A4L34DZM3yH74lxnSanzc4/AKBfIHMLEQT1s0cSpkuY0n
veqL48Mt570qTYMLxES+kmsnM3zM43MF+gOVwnzkxvdzMDxK+lzcc9z31kJh4RwT
yg2rYjJRqrdMmj3V/MhhR4G3ic/O22QFmcRYj9t6rUO5LPDDESm5SU3LPlpNQA==
-----END ENCRYPTED PRIVATE KEY-----
";

const ENCRYPTED_SCRYPT: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHjME4GCSqGSIb3DQEFDTBBMCAGCSsGAQQB2kcECzATBAgOqAk/T/1P9AIBAgIB
AQIBATAdBglghkgBZQMEASoEED2Q0eyZxsL3VAlgIpa9HGoEgZClJXk/izbXdn4c
YSckmrh3L6nX9xzpuM+irMWv5iKyqE87Rs+INXAonWOoda7TGdD9P583neZ/Z5JE
AH1qD6O2bghIsXbVEtqDPMACyNTJ083JUczaveFzaxdWhY+SvTFkhDJ/9NFgOlmE
J3tRu8J/gS7RDKPX0uqRCn5/LLIxvmceXdm8FI6BFS8EirlQmIo=
-----END ENCRYPTED PRIVATE KEY-----
";

#[test]
fn scrypt_without_a_cost_is_refused() {
    let section = pem::parse(ENCRYPTED_SCRYPT).unwrap();
    let mut der = section.contents().to_vec();
    // The INTEGER N = 2 stands before r = 1 and p = 1.
    let cost = [2, 1, 2, 2, 1, 1, 2, 1, 1];
    let at = der.windows(cost.len()).position(|bytes| bytes == cost);
    der[at.unwrap() + 2] = 0;
    let section = pem::Pem::new(section.tag(), der);
    let error = signing_key(&[section], Some(b"x"), &provider())
        .err()
        .unwrap();
    assert!(
        error
            .to_string()
            .starts_with("the encryption of its key is damaged")
    );
}

/// Changes the bytes inside the sections, which stay valid base64, or the text itself.
fn mutate(pem_text: &str, changes: &[(prop::sample::Index, u8)], inside: bool) -> Vec<u8> {
    let change = |bytes: &mut [u8]| {
        for (index, value) in changes {
            bytes[index.index(bytes.len())] = *value;
        }
    };
    let mut text = pem_text.as_bytes().to_vec();
    if inside {
        let sections = pem::parse_many(pem_text).unwrap();
        let sections: Vec<_> = sections
            .into_iter()
            .map(|section| {
                let mut content = section.contents().to_vec();
                change(&mut content);
                pem::Pem::new(section.tag(), content)
            })
            .collect();
        text = pem::encode_many(&sections).into_bytes();
    } else {
        change(&mut text);
    }
    text
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
}

proptest! {
    #[test]
    fn any_bytes_are_a_configuration_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
        let _ = TlsConfig::from_pem(&bytes);
        let _ = next_update(&bytes);
    }

    #[test]
    fn a_changed_pair_is_a_configuration_or_an_error(changes in changes(), inside: bool) {
        thread_local! {
            static PAIR: String = {
                let made = make(&["example.org", "*.example.org"]);
                format!("{}{}", made.certificate, made.key)
            };
        }
        let text = PAIR.with(|pair| mutate(pair, &changes, inside));
        let _ = TlsConfig::from_pem(&text);
    }

    #[test]
    fn a_changed_encrypted_key_is_a_key_or_an_error(changes in changes(), scrypt: bool) {
        let key = if scrypt { ENCRYPTED_SCRYPT } else { ENCRYPTED };
        let text = mutate(key, &changes, true);
        let file = PemFile::new("private key", None, &text).unwrap();
        let _ = signing_key(&file.sections, Some(b"x"), &provider());
    }
}
