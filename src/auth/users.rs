//! The users in a password file, as htpasswd writes it: a line for each, `user:hash`.
//!
//! Invariant: every hash can be checked, in a bounded time. A file with a line that cannot is refused as a whole.

use std::fmt;
use std::panic::catch_unwind;

use bcrypt::HashParts;
use sha_crypt::{PasswordVerifier as _, ShaCrypt};
use subtle::ConstantTimeEq as _;

use super::credentials::{Credentials, Key, PairHash};

const MAX_USERS: usize = 10_000;
/// The largest cost of bcrypt: 2 to the power of this number of rounds take some seconds.
const MAX_COST: u32 = 16;
/// The most rounds of SHA-crypt, which take about as long.
const MAX_ROUNDS: u32 = 5_000_000;
/// The fewest rounds of SHA-crypt: the C library raises a smaller number to this.
const MIN_ROUNDS: u32 = 1_000;

/// The users of one password file, sorted by name.
#[derive(Debug)]
pub(super) struct Users(Vec<User>);

struct User {
    name: String,
    hash: String,
    /// The keyed hash of the pair that was checked against `hash` and was right.
    verified: Option<PairHash>,
}

/// What a password is checked against.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) hash: String,
    /// Whether there is such a user. For others a hash is computed too, and the result does not count.
    pub(super) is_user: bool,
}

impl Users {
    /// Parses a password file.
    ///
    /// # Errors
    /// What is wrong, and in which line. Hashes are not quoted.
    pub(super) fn parse(file: &[u8]) -> Result<Self, String> {
        let mut users = Vec::new();
        let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
        for (number, line) in (1..).zip(file.split(|byte| *byte == b'\n')) {
            let line = line.trim_ascii();
            if !line.is_empty() && !line.starts_with(b"#") {
                let user = User::parse(line).map_err(|wrong| format!("line {number}: {wrong}"))?;
                users.push((user, number));
            }
        }
        users.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
        let twice = users.windows(2).find_map(|pair| match pair {
            [(one, first), (other, second)] if one.name == other.name => Some((first, second)),
            _ => None,
        });
        if let Some((first, second)) = twice {
            return Err(format!(
                "line {second}: the user is in line {first} already"
            ));
        } else if users.len() > MAX_USERS {
            return Err(format!("more than {MAX_USERS} users"));
        } else if users.is_empty() {
            return Err("no user is in it".to_owned());
        }
        Ok(Self(users.into_iter().map(|(user, _)| user).collect()))
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.0.binary_search_by(|user| (*user.name).cmp(name)).ok()
    }

    /// Returns whether the pair of this `hash` was found to be right for the user.
    pub(super) fn knows(&self, name: &str, hash: &PairHash) -> bool {
        let user = self.find(name).and_then(|index| self.0.get(index));
        let verified = user.and_then(|user| user.verified.as_ref());
        verified.is_some_and(|verified| verified.ct_eq(hash).into())
    }

    /// Returns what the password of `credentials` is checked against. For an unknown user it is the hash of another one, which is the
    /// same each time, so that the time tells nothing about which users there are.
    pub(super) fn target(&self, credentials: &Credentials, key: &Key) -> Target {
        let found = self.find(&credentials.user);
        let index = found.unwrap_or_else(|| {
            let (user, password) = (credentials.user.clone(), String::new());
            let [first, second, third, fourth, ..] = Credentials { user, password }.hash(key);
            u32::from_le_bytes([first, second, third, fourth]) as usize % self.0.len().max(1)
        });
        let hash = self.0.get(index).map(|user| user.hash.clone());
        Target {
            hash: hash.unwrap_or_default(),
            is_user: found.is_some(),
        }
    }

    /// Notes that the pair of `pair_hash` was right for the `hash` of this user.
    pub(super) fn note_verified(&mut self, name: &str, hash: &str, pair_hash: PairHash) {
        let user = self.find(name).and_then(|index| self.0.get_mut(index));
        if let Some(user) = user.filter(|user| user.hash == hash) {
            user.verified = Some(pair_hash);
        }
    }

    /// Takes over the pairs that were right in an `earlier` state of the file, for users that have the same hash.
    pub(super) fn keep_verified(&mut self, earlier: &Self) {
        for user in &earlier.0 {
            if let Some(verified) = user.verified {
                self.note_verified(&user.name, &user.hash, verified);
            }
        }
    }
}

impl User {
    fn parse(line: &[u8]) -> Result<Self, String> {
        let line = str::from_utf8(line).map_err(|_| "not UTF-8")?;
        let (name, rest) = line.split_once(':').ok_or("no colon behind the user")?;
        // What follows another colon is a comment for people.
        let hash = rest.split(':').next().unwrap_or_default();
        if name.is_empty() || line.chars().any(char::is_control) {
            return Err("the user is empty or has control characters".to_owned());
        }
        check(hash)?;
        Ok(Self {
            name: name.to_owned(),
            hash: hash.to_owned(),
            verified: None,
        })
    }
}

/// Without the hash.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Checks that [`is_right`] can check this hash.
fn check(hash: &str) -> Result<(), String> {
    const SUPPORTED: &str =
        "bcrypt (htpasswd -B) and SHA-crypt (mkpasswd -m sha-512) are supported";
    let kind = match hash.get(..3) {
        Some("$2a" | "$2b" | "$2y") => return check_bcrypt(hash),
        Some("$5$" | "$6$") => return check_sha_crypt(hash),
        Some("$ap" | "$1$") => "MD5 of Apache is too weak",
        Some("{SH" | "{SS") => "SHA-1 is too weak",
        Some("$y$" | "$7$" | "$ar" | "$sc" | "$pb") => "this hash is not supported",
        _ => "no known hash",
    };
    Err(format!("{kind}; {SUPPORTED}"))
}

fn check_bcrypt(hash: &str) -> Result<(), String> {
    let parts: HashParts = hash.parse().map_err(|_| "not a whole bcrypt hash")?;
    match parts.get_cost() {
        4..=MAX_COST => Ok(()),
        cost => Err(format!(
            "the cost of bcrypt is {cost}, and not 4 to {MAX_COST}"
        )),
    }
}

fn check_sha_crypt(hash: &str) -> Result<(), String> {
    let digits = if hash.starts_with("$5") { 43 } else { 86 };
    let mut parts = hash.get(3..).unwrap_or_default().split('$');
    let mut salt = parts.next().unwrap_or_default();
    if let Some(rounds) = salt.strip_prefix("rounds=") {
        let rounds: u32 = rounds.parse().unwrap_or_default();
        if !(MIN_ROUNDS..=MAX_ROUNDS).contains(&rounds) {
            let wrong = format!("the rounds of SHA-crypt are not {MIN_ROUNDS} to {MAX_ROUNDS}");
            return Err(wrong);
        }
        salt = parts.next().unwrap_or_default();
    }
    let is_digits = |text: &str| {
        let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"./".contains(&byte);
        text.bytes().all(is_digit)
    };
    let is_salt = salt.len() <= 16 && is_digits(salt);
    let is_hash = |hash: &str| hash.len() == digits && is_digits(hash);
    match (parts.next(), parts.next()) {
        (Some(hash), None) if is_salt && is_hash(hash) => Ok(()),
        _ => Err("not a whole SHA-crypt hash".to_owned()),
    }
}

/// Computes the hash of `password`, which may take seconds, and returns whether it is this `hash`.
pub(super) fn is_right(password: &str, hash: &str) -> bool {
    let checked = catch_unwind(|| {
        if hash.starts_with("$2") {
            bcrypt::verify(password, hash).unwrap_or(false)
        } else {
            let checked = ShaCrypt::default().verify_password(password.as_bytes(), hash);
            checked.is_ok()
        }
    });
    checked.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "secret" in each format, computed by libxcrypt.
    const SECRET: [&str; 8] = [
        "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
        "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
        "$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
        "$2y$10$abcdefghijklmnopqrstuuqflPDzB6gcMhKa1rZqKiun2YGL5sa2u",
        "$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.",
        "$5$rounds=1234$abcd$2ou0PAyejX6LLsRmGNO.KjEWl2Wb12DuhThxs8yjxdA",
        "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1",
        "$6$rounds=1000$x$0iXvTPIWVHkg6yoVSlOTcEY0CyViwhXpPrHUJOuoFLKbBcWM9S03ZrCHmIxN51kGulOHuZE.4YQhTW5l/ghNC.",
    ];

    fn failure(file: &str) -> String {
        Users::parse(file.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_hash_is_right_for_its_password_alone() {
        for hash in SECRET {
            assert_eq!(check(hash), Ok(()), "{hash}");
            assert!(is_right("secret", hash), "{hash}");
            for wrong in ["", "Secret", "secret ", "secret\0"] {
                assert!(!is_right(wrong, hash), "{hash} {wrong:?}");
            }
        }
        let table = [
            (
                "päss",
                "$2y$05$abcdefghijklmnopqrstuuQNr.NUko7cjRuTOhPz.WP0eA4f4.Xuq",
            ),
            (
                "",
                "$2y$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq",
            ),
        ];
        for (password, hash) in table {
            assert!(is_right(password, hash), "{password}");
        }
    }

    #[test]
    fn a_hash_that_cannot_be_checked_is_refused() {
        let table = [
            ("$apr1$abcdefgh$x", "MD5 of Apache is too weak"),
            ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "SHA-1 is too weak"),
            ("{SSHA}abc", "SHA-1 is too weak"),
            ("rqXexS6ZhobKA", "no known hash"),
            ("secret", "no known hash"),
            ("", "no known hash"),
            ("é", "no known hash"),
            ("$y$j9T$abc$def", "this hash is not supported"),
            (
                "$argon2id$v=19$m=1,t=1,p=1$abc$def",
                "this hash is not supported",
            ),
            (
                "$2x$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
                "no known hash",
            ),
            ("$2y$04$abc", "not a whole bcrypt hash"),
            (
                "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WI!W",
                "not a whole bcrypt",
            ),
            (
                "$2y$17$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
                "the cost of bcrypt is 17",
            ),
            (
                "$2y$03$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
                "the cost of bcrypt is 3",
            ),
            ("$5$abc", "not a whole SHA-crypt hash"),
            ("$5$rounds=5$a$b", "the rounds of SHA-crypt"),
            ("$6$rounds=5000001$a$b", "the rounds of SHA-crypt"),
            ("$6$rounds=x$a$b", "the rounds of SHA-crypt"),
            (
                "$6$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.",
                "not a whole SHA-crypt",
            ),
            (
                "$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.$",
                "not a whole SHA-crypt",
            ),
        ];
        for (hash, message) in table {
            let failure = failure(&format!("# users\nalice:{hash}\n"));
            assert!(
                failure.starts_with(&format!("line 2: {message}")),
                "{hash}: {failure}"
            );
            assert!(hash.len() < 8 || !failure.contains(hash), "{failure}");
        }
    }

    #[test]
    fn a_file_has_a_line_for_each_user() {
        let (first, second) = (SECRET[0], SECRET[4]);
        let file = format!(
            "\u{feff}# a comment\r\nbob:{first}\r\n\n  \nalice smith:{second}:a comment\nGröße:{first}"
        );
        let users = Users::parse(file.as_bytes()).unwrap();
        let names: Vec<_> = users.0.iter().map(|user| &*user.name).collect();
        assert_eq!(names, ["Größe", "alice smith", "bob"]);
        assert_eq!(format!("{users:?}"), "Users([Größe, alice smith, bob])");
    }

    #[test]
    fn a_wrong_line_is_named_by_its_number() {
        let hash = SECRET[0];
        let table = [
            (String::new(), "no user is in it"),
            ("# only\n\n".to_owned(), "no user is in it"),
            (format!("a:{hash}\nb"), "line 2: no colon"),
            (format!("a:{hash}\n:{hash}"), "line 2: the user is empty"),
            (
                format!("a\tb:{hash}"),
                "line 1: the user is empty or has control characters",
            ),
            (
                format!("b:{hash}\na:{hash}\nb:{hash}"),
                "line 3: the user is in line 1 already",
            ),
        ];
        for (file, message) in table {
            assert!(failure(&file).starts_with(message), "{file}");
        }
        assert_eq!(Users::parse(b"\xff:").unwrap_err(), "line 1: not UTF-8");
        let many: String = (0..=MAX_USERS)
            .map(|user| format!("{user}:{hash}\n"))
            .collect();
        assert_eq!(failure(&many), "more than 10000 users");
    }

    #[test]
    fn a_pair_is_known_until_its_hash_changes() {
        let file = format!("a:{}\nb:{}\n", SECRET[0], SECRET[4]);
        let mut users = Users::parse(file.as_bytes()).unwrap();
        for (name, hash) in [("a", SECRET[0]), ("b", SECRET[0]), ("c", SECRET[0])] {
            users.note_verified(name, hash, [1; 32]);
        }
        assert!(users.knows("a", &[1; 32]) && !users.knows("a", &[2; 32]));
        assert!(!users.knows("b", &[1; 32]) && !users.knows("c", &[1; 32]));
        let mut same = Users::parse(format!("{file}c:{}", SECRET[0]).as_bytes()).unwrap();
        same.keep_verified(&users);
        assert!(same.knows("a", &[1; 32]) && !same.knows("c", &[1; 32]));
        let mut changed = Users::parse(format!("a:{}", SECRET[1]).as_bytes()).unwrap();
        changed.keep_verified(&users);
        assert!(!changed.knows("a", &[1; 32]));
    }

    #[test]
    fn an_unknown_user_costs_a_hash_of_the_file_which_stays_the_same() {
        let file = format!("a:{}\nb:{}\n", SECRET[0], SECRET[4]);
        let users = Users::parse(file.as_bytes()).unwrap();
        let target = |user: String, password: &str| {
            let password = password.to_owned();
            users.target(&Credentials { user, password }, &[7; 32])
        };
        assert!(target("a".to_owned(), "x").is_user);
        let mut chosen = [false; 2];
        for user in 0..64 {
            let unknown = target(format!("unknown {user}"), "x");
            assert!(!unknown.is_user);
            assert_eq!(unknown, target(format!("unknown {user}"), "y"));
            chosen[usize::from(unknown.hash == SECRET[0])] = true;
        }
        assert_eq!(chosen, [true; 2]);
    }
}
