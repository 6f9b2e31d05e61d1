//! Private keys in all formats.

use super::*;

/// A TEST key, made for this file: RSA with 2048 bits.
pub(super) const RSA_KEY: &str = "\
-----BEGIN PRIVATE KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDsiT558AXz/Kao
An2M7ckcCz1vdU4V5rRYQ6U/Wh3kX8yHKEZKYPQ3GKoyx0t2OsOGEHp9ianTX3n5
p0bJwEvtFvyyjAGbvIY6Se+oyp6WkunIUf9npN1Vphc5PGcMTtmEaBDeh9wH3a2D
PYhX9mPt/u25i+PjIncz83EtSmOZpPWhuH3DR/aQoE2Q4W8DXAOwypdnMqki95Na
kHnOxr87N6hFn1gD9WBA7xhQCCeZMlDZIGja48VGolGkYx/rarVckNAKZq326cTG
jw/0rUVob1Eh1jd3tlHdiyIrKK0hbBYsV/cJBY1JOQIE5TngaE6GC037YxIg425s
i6LTz/FpAgMBAAECggEABToKe4xOaAlNr3RlTNTA9xHX2Nt+jw+q2DEfzioSHgab
O44BcPRP1oXWK6AUGU02yS1vtNAdb2fH3LiRtl89mO7DRQ4V8liJ83DIeceHFexc
0R81ZcISsqlPEGXhdbf/qM7Z4ejzoj2Hmi5PvHiGgG771s1HYFtVx1FE+iC6LwjC
FDFGQf572+6TO2x4aTintuEcGavjrwPAYt5wbt2A1ER12fkm/jpeiya2yZnAJI45
AR2XxUNLeZOvz8UCi8eYYgtAvelf0i7MyTlXqXWNrcTde1f40wf73i+x71IcgEvu
c4Ri/40Pz7vFioXilWTbf8Ocn4yYZoP4HDeENb6CQQKBgQD9V2hT9Gwh2fiiJt5L
ficeY+vO/4/aLNBHFF+fwZb7hbNkoCP9156p/3ziQuKsVqPCzckqPev/oCltIGhu
XGREo9TTAH714WgMYAOf8J5UVPT4+f86TQzO4dQ9e0zXfcZTRM/Ya62CmOYTocp+
qhqEZ0uP92bjT7E9kbQGfON9EQKBgQDvBLCLSBV0xNaLgaKH5RDnYtJLWHbvVA/k
i3VqqKRm2q05wjyS0kQ/9b2lZMLi4nHCZfrXOaNZbXaOKybcbzXJjlfaidcmQ4kI
VAT9nlDLqRxBbrwebeZtte+d4rt8lxu+lR/KPrMa9XU03kzjHS7IzWIhVbR63q74
0E088+QO2QKBgAixnDHtXFyZB1BBNzWuAZeoZCo5WO1qxkb6KwHnec/t2aclW7bV
VGuPCfEVzIOPgZUozLN3ZobiLynAh/TplMNKP/5xsOmtL43lKZqufjB0redxZNHS
XRMoasklVxC6DzlCTkOmBlFJ//NChRltqvVKOiyZl91LGdD8FAp49LGRAoGAfes8
jsP0+cVROcGbvHgDBcNcAnGihscEcGTAAObDZaRCqjEX9EltxzxRIrcIrLqbL8zF
72jgE5bFZHR7TpoP/hVNV0ZS4EeoA4kv7+Tdr81xo08RL/657IZyq/zsxOBer3Kk
gsmxVbyGeMm8O9H9+a+pyOH76Ncz2sTyS/A471ECgYEApoFGJ4GFols6nC50Nthb
JpCRE1iGDh25JoRmozOOMZC1FFP9t3UzpQJynDy4Nbct/Ea4w2yo8hGwtUInBAVh
BQ8NtQIw9A6QgBcmP31jqaRJSqTpuB4NW20+4UMsSZI5s+V4bykispdv3V7YaqhP
0+YA8j2JvWhs+/kCFQYQT4U=
-----END PRIVATE KEY-----
";

/// Makes a private key and its certificate in files `key` and `certificate` by openssl, and a file `password` that holds `x`.
fn openssl_pair(directory: &Directory) -> Option<CertificateFiles> {
    directory.write("password", "\t x \r\n\n");
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -keyout key -out certificate";
    openssl(directory.0.path(), arguments)
        .then(|| CertificateFiles::new(directory.path("certificate")))
}

#[test]
fn a_key_may_have_any_usual_form() {
    let directory = Directory::new();
    let Some(files) = openssl_pair(&directory) else {
        return;
    };
    let in_force = |name: &str| {
        let files = files.clone().with_key(directory.path(name));
        let files = files.with_password_file(directory.path("password"));
        message(TlsConfig::from_files([files]))
    };
    let table = [
        "ec -in key -out made",
        // Only OpenSSL 3 writes the parameters in front of the key.
        "ec -in key -param_enc named_curve -out made",
        "pkcs8 -topk8 -nocrypt -in key -out made",
        "pkcs8 -topk8 -in key -passout pass:x -out made",
        "pkcs8 -topk8 -in key -passout pass:x -v2 aes-128-cbc -out made",
        "pkcs8 -topk8 -in key -passout pass:x -v2 aes-256-cbc -v2prf hmacWithSHA512 -out made",
        "pkcs8 -topk8 -in key -passout pass:x -scrypt -out made",
        "pkey -in key -aes256 -passout pass:x -out made",
        // The forms of OpenSSL 1.0 with the option -v2.
        "pkcs8 -topk8 -in key -passout pass:x -v2 aes-256-cbc -v2prf hmacWithSHA1 -out made",
        "pkcs8 -topk8 -in key -passout pass:x -v2 des3 -v2prf hmacWithSHA1 -out made",
    ];
    for arguments in table {
        assert!(openssl(directory.0.path(), arguments), "{arguments}");
        assert_eq!(in_force("made"), "", "{arguments}");
    }
    let key = fs::read_to_string(directory.path("key")).unwrap();
    let parameters =
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    directory.write("made", format!("text\n{parameters}{key}"));
    assert_eq!(in_force("made"), "");
}

#[test]
fn rsa_and_ed25519_keys_are_supported() {
    let directory = Directory::new();
    for arguments in ["rsa:2048", "ed25519"] {
        let arguments = format!(
            "req -x509 -newkey {arguments} -nodes -subj /CN=x -keyout key -out certificate"
        );
        if !openssl(directory.0.path(), &arguments) {
            return;
        }
        let files = CertificateFiles::new(directory.path("certificate"));
        let files = files.with_key(directory.path("key"));
        assert_eq!(
            message(TlsConfig::from_files([files.clone()])),
            "",
            "{arguments}"
        );
        if openssl(directory.0.path(), "rsa -traditional -in key -out pkcs1") {
            let files = files.with_key(directory.path("pkcs1"));
            assert_eq!(message(TlsConfig::from_files([files])), "");
        }
    }
}

#[test]
fn a_key_that_cannot_be_used_is_named_with_the_reason() {
    let directory = Directory::new();
    let Some(files) = openssl_pair(&directory) else {
        return;
    };
    let old = "openssl pkcs8 -topk8 -in OLD -out NEW";
    let table = [
        ("pkcs8 -topk8 -in key -passout pass:y -out made", "the password of its key is wrong".to_owned()),
        ("pkcs8 -topk8 -in key -passout pass:y -v2 des3 -out made", "the password of its key is wrong".to_owned()),
        (
            "pkcs8 -topk8 -in key -passout pass:x -v2 camellia-256-cbc -out made",
            format!("the encryption of its key is damaged or not supported; {old} makes one that is"),
        ),
        (
            "pkcs8 -topk8 -in key -passout pass:x -v1 PBE-SHA1-3DES -out made",
            format!("the encryption of its key is damaged or not supported; {old} makes one that is"),
        ),
        (
            "pkcs8 -topk8 -in key -passout pass:x -iter 2000001 -out made",
            format!("the encryption of its key is damaged or not supported; {old} makes one that is"),
        ),
        (
            "ec -in key -aes256 -passout pass:x -out made",
            format!("its key is encrypted in the format of old versions of OpenSSL; {old} converts it"),
        ),
        (
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp521r1 -out made",
            "its key is damaged or of a kind that is not supported; RSA from 2048 bits, ECDSA P-256 and P-384 and Ed25519 are"
                .to_owned(),
        ),
        (
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out made",
            format!(
                "its key does not belong to the first certificate of {}",
                directory.path("certificate").display()
            ),
        ),
    ];
    let made = directory.path("made");
    let files = files.with_key(&made);
    for (arguments, reason) in table {
        assert!(openssl(directory.0.path(), arguments), "{arguments}");
        let files = files.clone().with_password_file(directory.path("password"));
        let expected = format!("cannot use the private key {}: {reason}", made.display());
        assert_eq!(
            message(TlsConfig::from_files([files])),
            expected,
            "{arguments}"
        );
    }
    assert!(openssl(
        directory.0.path(),
        "pkcs8 -topk8 -in key -passout pass:x -out made"
    ));
    let message = message(TlsConfig::from_files([files]));
    assert!(
        message.ends_with("its key is encrypted, and no password file is named for it"),
        "{message}"
    );
}
