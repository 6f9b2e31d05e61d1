//! What must hold for every target: its spelling does not lead out of the directory, and it leads where its segments say. See
//! [`crate::http::properties`].

use super::names::translate_path::{Translated, clean, is_hidden, translate_path};

pub use super::listing::properties::listing;
pub use super::site::properties::{header_rules, redirects};

/// Checks the property; `input` is a target.
pub fn path(input: &[u8]) {
    let target = String::from_utf8_lossy(input);
    let mut path = Vec::new();
    let Some(translated) = translate_path(target.as_bytes(), &mut path) else {
        assert!(decode(&target).contains(&0));
        return;
    };
    assert!(!path.contains(&0));
    assert_eq!(
        (path.clone(), translated.trailing_slash),
        walk(&decode(&target))
    );
    let segments = || path.split(|byte| *byte == b'/');
    let climbs = |segment: &[u8]| matches!(segment, b"" | b"." | b"..");
    assert!(
        path.is_empty() || !segments().any(climbs),
        "{}",
        path.escape_ascii()
    );
    assert_eq!(translated.hidden, segments().any(is_hidden));

    // A reduced path stays as it is when it is reduced again, and when it is requested.
    let mut again = path.clone();
    let Translated {
        trailing_slash,
        hidden,
    } = clean(&mut again);
    assert_eq!(
        (&again, trailing_slash, hidden),
        (&path, path.is_empty(), translated.hidden)
    );
    let spelled: String = path.iter().map(|byte| format!("%{byte:02x}")).collect();
    assert!(translate_path(format!("/{spelled}").as_bytes(), &mut again).is_some());
    assert_eq!(again, path);
}

/// Decodes the percent-encoded bytes of the path, without query and fragment. All other bytes stay as they are.
fn decode(target: &str) -> Vec<u8> {
    let mut rest = target
        .split(['?', '#'])
        .next()
        .unwrap_or_default()
        .as_bytes();
    let mut decoded = Vec::new();
    while let [first, after @ ..] = rest {
        let digits = after
            .get(..2)
            .and_then(|digits| str::from_utf8(digits).ok());
        let is_hex = |digits: &&str| digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        match digits
            .filter(is_hex)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
        {
            Some(byte) if *first == b'%' => {
                decoded.push(byte);
                rest = &after[2..];
            }
            _ => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    decoded
}

/// Follows the segments from the root. Returns also whether the last segment is no name: then a directory is meant, as with a
/// slash (RFC 3986 §5.2.4).
fn walk(path: &[u8]) -> (Vec<u8>, bool) {
    let mut place = Vec::new();
    for segment in path.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(place.pop()),
            name => place.push(name),
        }
    }
    let last = path.rsplit(|byte| *byte == b'/').next();
    let is_directory = matches!(last, Some(b"" | b"." | b".."));
    (place.join(&b'/'), is_directory)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::properties::replay;

    proptest! {
        #[test]
        fn holds_for_targets(target in "/?(\\.{1,3}|%2[eEfF]|/|%00|%|a|\\\\|[?#]|é|\\.well-known|%e9){0,30}") {
            path(target.as_bytes());
        }

        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..100)) {
            path(&input);
        }
    }

    #[test]
    fn holds_for_the_corpus() {
        replay("path", path);
    }
}
