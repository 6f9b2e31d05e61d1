//! What must hold for the rules of every site and every request: no rule sends a client to a server that its own target does not
//! name, rules match the paths that their segments say, and fields are valid. See [`crate::http::properties`].
#![allow(
    clippy::unwrap_used,
    reason = "a property says what must hold by panicking where it does not"
)]

use percent_encoding::percent_decode_str;

use super::headers::HeaderRules;
use super::lines::BadLine;
use super::redirects::{Redirected, Redirects};
use crate::files::names::translate_path::translate_path;
use crate::handler::query::split_target;
use crate::http::field::{FieldName, FieldValue};

/// Checks the property of `_redirects`; `input` is the file, a NUL and a target.
pub fn redirects(input: &[u8]) {
    let (file, target, path) = split(input);
    let rules = match Redirects::parse(file) {
        Ok(rules) => rules,
        Err(bad) => return check_bad_line(file, &bad),
    };
    let file = String::from_utf8_lossy(file);
    let query = split_target(&target).1;
    let found = rules.find(&path, query);
    let forced = rules.find_forced(&path, query);
    assert!(forced.is_none() || forced == found, "{forced:?} {found:?}");
    let mut matching = lines(&file).filter(|line| matches(first_word(line), &path));
    match found {
        // A rule that matches may want another query, or lead back to the path.
        None => assert!(matching.all(|line| line.contains('=')
            || first_word(line).contains(':')
            || !line.contains(" 200"))),
        Some(Redirected::Served { target, .. }) => {
            assert!(matching.next().is_some());
            assert!(is_path(&target), "{target}");
        }
        Some(Redirected::To { location, .. }) => {
            assert!(matching.next().is_some());
            let mut back = Vec::new();
            if is_path(&location) {
                let is_path = translate_path(location.as_bytes(), &mut back).is_some();
                let is_back = is_path && back == path && split_target(&location).1 == query;
                assert!(!is_back, "{location}");
            } else {
                let host = location.find("://").unwrap() + "://".len();
                let end = location[host..]
                    .find(['/', '?', '#'])
                    .map_or(location.len(), |end| host + end);
                assert!(end > host && file.contains(&location[..end]), "{location}");
            }
        }
    }
}

/// Checks the property of `_headers`; `input` is the file, a NUL and a target.
pub fn header_rules(input: &[u8]) {
    let (file, _, path) = split(input);
    let rules = match HeaderRules::parse(file) {
        Ok(rules) => rules,
        Err(bad) => return check_bad_line(file, &bad),
    };
    let file = String::from_utf8_lossy(file);
    let numbers: Vec<_> = rules.matching(&path).collect();
    let patterns = lines(&file).filter(|line| line.starts_with('/'));
    let expected: Vec<_> = (0..)
        .zip(patterns)
        .filter(|(_, pattern)| matches(pattern, &path))
        .map(|(number, _)| number)
        .collect();
    assert_eq!(numbers, expected);
    let changes = rules.merge(numbers);
    for (name, value) in &changes.set {
        assert!(FieldName::new(name).is_ok() && FieldValue::new(value.as_bytes()).is_ok());
        assert!(
            !name.eq_ignore_ascii_case("content-length")
                && !name.eq_ignore_ascii_case("transfer-encoding")
        );
        let same = changes
            .set
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        assert!(same.count() == 1 || name.eq_ignore_ascii_case("set-cookie"));
    }
    assert!(
        changes
            .removed
            .iter()
            .all(|name| FieldName::new(name).is_ok())
    );
}

/// Splits `input` at its first NUL. Returns the file, the target and the path that it means.
fn split(input: &[u8]) -> (&[u8], String, Vec<u8>) {
    let end = input
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(input.len());
    let target = String::from_utf8_lossy(input.get(end + 1..).unwrap_or_default()).into_owned();
    let mut path = Vec::new();
    if translate_path(target.as_bytes(), &mut path).is_none() {
        path.clear();
    }
    (&input[..end], target, path)
}

fn check_bad_line(file: &[u8], bad: &BadLine) {
    let lines = file.split(|byte| *byte == b'\n').count();
    assert!((1..=lines).contains(&bad.number), "{bad:?}");
    assert!(!bad.message.chars().any(char::is_control), "{bad:?}");
}

/// Returns the lines that are no comments, without blanks around them.
fn lines(file: &str) -> impl Iterator<Item = &str> {
    let lines = file
        .trim_start_matches('\u{feff}')
        .split('\n')
        .map(|line| line.trim_matches(|char: char| char.is_ascii_whitespace()));
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn first_word(line: &str) -> &str {
    line.split_ascii_whitespace().next().unwrap_or_default()
}

/// Returns whether a browser takes `reference` for a path of the same server.
fn is_path(reference: &str) -> bool {
    assert!(
        reference
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\'),
        "{reference}"
    );
    reference.starts_with('/') && !reference.starts_with("//")
}

/// Compares a pattern with a path segment by segment.
fn matches(pattern: &str, path: &[u8]) -> bool {
    let segments: Vec<_> = pattern
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    let names: Vec<_> = path
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty())
        .collect();
    let same = |segments: &[&str], names: &[&[u8]]| {
        segments
            .iter()
            .zip(names)
            .all(|(segment, name)| is_segment(segment, name))
    };
    if let Some((&"*", above)) = segments.split_last() {
        return names.len() >= above.len() && same(above, &names);
    }
    let joined = segments.join("/");
    let Some((before, after)) = joined.split_once('*') else {
        return names.len() == segments.len() && same(&segments, &names);
    };
    let Some(front) = path.strip_suffix(&decode(after)[..]) else {
        return false;
    };
    let above: Vec<_> = before.split('/').collect();
    let (partial, above) = above.split_last().unwrap();
    let names: Vec<_> = front
        .splitn(above.len() + 1, |byte| *byte == b'/')
        .collect();
    names.len() == above.len() + 1
        && same(above, &names)
        && names[above.len()].starts_with(&decode(partial))
}

fn is_segment(segment: &str, name: &[u8]) -> bool {
    match segment.strip_prefix(':') {
        Some(placeholder) if placeholder.starts_with(|first: char| first.is_ascii_alphabetic()) => {
            !name.is_empty()
        }
        _ => decode(segment) == name,
    }
}

fn decode(text: &str) -> Vec<u8> {
    percent_decode_str(text).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::properties::replay;

    const TARGET: &str =
        "/(a|b|x1|/|%2[fF]|%5[cC]|\\\\|\\.\\.?|%0[dD]%0[aA]|evil|é|%25|:|\\?|=|&|\\.js){0,10}";

    proptest! {
        #[test]
        fn holds_for_redirects(
            rules in prop::collection::vec(
                "(/(a|b|:[ab]|%61|%5C)){0,3}(/\\*)?/?( [ab]=(:[cd]|1|%2F))? (/|https://h(:1)?/?)\
                 (:splat|:[abcd]|a|/|\\\\|\\?|#|=|\\.){0,6}( (200|301|302|404|410)!?)?",
                0..4
            ),
            target in TARGET,
        ) {
            redirects(format!("{}\0{target}", rules.join("\n")).as_bytes());
        }

        #[test]
        fn holds_for_near_redirects(
            file in "(/|\\*|:splat|:a|a| |\n|#|https?://|301|200!|=|!|\\?|\t|\r|\u{1}|%2F|\\\\|é|\\.netlify){0,30}",
            target in TARGET,
        ) {
            redirects(format!("{file}\0{target}").as_bytes());
        }

        #[test]
        fn holds_for_header_rules(
            rules in prop::collection::vec(
                "(/(a|b|:[ab]|%61)){0,3}/?(\\*|/\\*|\\*\\.js|/\\*/b|/a\\*)?/?\n(( [AB]: [a-c:,\"é]{1,5}| !A| Set-Cookie: a)\n){1,3}",
                0..4
            ),
            target in TARGET,
        ) {
            header_rules(format!("{}\0{target}", rules.join("")).as_bytes());
        }

        #[test]
        fn holds_for_near_header_rules(file in "(/|\\*|:a|a| |\n|X:|! |Date: 1|!|\t|\u{1}|%2F|\\.js){0,30}", target in TARGET) {
            header_rules(format!("{file}\0{target}").as_bytes());
        }

        #[test]
        fn holds_for_any_bytes(input in prop::collection::vec(any::<u8>(), 0..100)) {
            redirects(&input);
            header_rules(&input);
        }
    }

    #[test]
    fn holds_for_the_corpus() {
        replay("redirects", redirects);
        replay("header_rules", header_rules);
    }
}
