//! User and password as a request has them (RFC 7617).
//!
//! Invariant: both are text without control characters, and short, so that no hash of them takes long.

use std::fmt;

use base64ct::{Base64, Encoding as _};
use sha2::{Digest as _, Sha256};

use crate::http::headers::Headers;

/// The most bytes of a user, a colon and a password. htpasswd takes passwords up to 255 bytes, and the time that SHA-crypt takes
/// grows with the square of the length.
const MAX_BYTES: usize = 512;

/// A keyed hash of a user and a password. Without the key, the hash reveals neither of them.
pub(super) type PairHash = [u8; 32];

/// The key of the hashes; it is random, and never leaves the process.
pub(super) type Key = [u8; 32];

/// A pair of user and password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
}

impl Credentials {
    /// Returns the pair in the `Authorization` field; `None` if there is none, or more than one field, or another scheme.
    pub(super) fn of(headers: Headers<'_>) -> Option<Self> {
        let mut fields = headers.get_all("authorization");
        let field = fields.next().filter(|_| fields.next().is_none())?;
        Self::parse(field)
    }

    fn parse(field: &[u8]) -> Option<Self> {
        let (scheme, rest) = field.split_at_checked(b"Basic".len())?;
        let encoded = rest.trim_ascii_start();
        if !scheme.eq_ignore_ascii_case(b"Basic") || !rest.starts_with(b" ") {
            return None;
        }
        // A longer pair does not fit.
        let mut room = [0; MAX_BYTES];
        let decoded = Base64::decode(encoded, &mut room).ok()?;
        let pair = str::from_utf8(decoded).ok()?;
        let (user, password) = pair.split_once(':')?;
        let is_allowed = !pair.chars().any(char::is_control);
        is_allowed.then(|| Self {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }

    pub(super) fn hash(&self, key: &Key) -> PairHash {
        let pair = [self.user.as_bytes(), self.password.as_bytes()];
        // A user has no colon, so no other pair has these bytes.
        let hash = Sha256::new().chain_update(key);
        hash.chain_update(pair.join(&b':')).finalize().into()
    }
}

/// Without the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = &self.user;
        f.debug_struct("Credentials").field("user", user).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(scheme: &str, pair: &[u8]) -> Option<(String, String)> {
        let mut room = [0; 2 * MAX_BYTES];
        let field = format!("{scheme}{}", Base64::encode(pair, &mut room).unwrap());
        Credentials::parse(field.as_bytes()).map(|pair| (pair.user, pair.password))
    }

    #[test]
    fn a_pair_is_parsed() {
        let table = [
            ("Basic ", "a:b", ("a", "b")),
            ("basic ", "a:b", ("a", "b")),
            ("BASIC   ", "a:", ("a", "")),
            ("Basic ", ":b:c ", ("", "b:c ")),
            ("Basic ", "Größe:pässwörd 🎉", ("Größe", "pässwörd 🎉")),
        ];
        for (scheme, pair, (user, password)) in table {
            let expected = Some((user.to_owned(), password.to_owned()));
            assert_eq!(parse(scheme, pair.as_bytes()), expected, "{pair}");
        }
        assert!(parse("Basic ", &[&b"a:"[..], &[b'x'; MAX_BYTES - 2]].concat()).is_some());
    }

    #[test]
    fn what_is_no_pair_is_none() {
        let table: [(&str, &[u8]); 9] = [
            ("Basic ", b"no colon"),
            ("Basic ", b""),
            ("Basic ", b"a:\xff"),
            ("Basic ", b"a:b\0"),
            ("Basic ", b"a\n:b"),
            ("Basic", b"a:b"),
            ("Basic\t", b"a:b"),
            ("Bearer ", b"a:b"),
            ("Basic ", &[b':'; MAX_BYTES + 1]),
        ];
        for (scheme, pair) in table {
            assert_eq!(parse(scheme, pair), None, "{scheme}{}", pair.escape_ascii());
        }
        for field in [
            "",
            "Basic",
            "Basic ",
            "Basic Og",
            "Basic Og=",
            "Basic Og==x",
            "Basic Oh==",
            "Basic Og==, Basic Og==",
            "Basic O g==",
            "Basic \u{e9}",
        ] {
            assert_eq!(Credentials::parse(field.as_bytes()), None, "{field}");
        }
        assert!(Credentials::parse(b"Basic Og==").is_some());
    }

    #[test]
    fn a_hash_depends_on_key_user_and_password() {
        let hash = |key, user: &str, password: &str| {
            let (user, password) = (user.to_owned(), password.to_owned());
            Credentials { user, password }.hash(&[key; 32])
        };
        assert_eq!(hash(1, "a", "b"), hash(1, "a", "b"));
        for other in [hash(2, "a", "b"), hash(1, "ab", ""), hash(1, "a", "c")] {
            assert_ne!(hash(1, "a", "b"), other);
        }
    }
}
