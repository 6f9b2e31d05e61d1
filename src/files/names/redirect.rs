//! The Location of a directory that was requested without a slash at its end (RFC 9110 §10.2.2). It is a relative reference
//! (RFC 3986 §4.2), so that it is right behind a proxy that serves the directory below another path.

use percent_encoding::{CONTROLS, percent_decode_str, utf8_percent_encode};

use super::percent_encode::percent_encode;
use super::translate_path::translate_path;

/// Returns the reference from `target`, which means a directory and has no slash at its end, to the same with a slash. The query
/// is kept.
///
/// The reference is a name with all special bytes encoded, so it has no scheme and no host: `//host` and `a:b` are directories,
/// too.
pub(crate) fn location(target: &str) -> String {
    let (path, query) = split(target);
    let mut translated = Vec::new();
    translate_path(path.as_bytes(), &mut translated);
    let name = translated
        .rsplit(|byte| *byte == b'/')
        .next()
        .unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let mut location = String::new();
    if !name.is_empty() && percent_decode_str(last).eq(name.iter().copied()) {
        location.extend(percent_encode(name));
        location.push('/');
    } else {
        // The last slash was encoded. So the reference goes up to the root of the client's path, and down the whole path.
        let depth = path.matches('/').count().saturating_sub(1);
        location.push_str(&"../".repeat(depth));
        for name in translated
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty())
        {
            location.extend(percent_encode(name));
            location.push('/');
        }
    }
    if let Some(query) = query {
        location.push('?');
        // Encoded bytes stay as they are. Others are encoded unless they are ASCII: they might act on a terminal.
        location.extend(utf8_percent_encode(query, CONTROLS));
    }
    location
}

/// Splits a target into path and query; a fragment is dropped.
fn split(target: &str) -> (&str, Option<&str>) {
    let target = target.split_once('#').map_or(target, |(target, _)| target);
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_is_the_name_with_a_slash() {
        let table = [
            ("/docs", "docs/"),
            ("/a/docs", "docs/"),
            ("//docs", "docs/"),
            ("/docs?a=b&c", "docs/?a=b&c"),
            ("/docs?a?b#c", "docs/?a?b"),
            ("/docs#part", "docs/"),
            ("/docs?", "docs/?"),
            ("/a:b", "a%3Ab/"),
            ("/http:", "http%3A/"),
            ("/a%3fb", "a%3Fb/"),
            ("/%25", "%25/"),
            ("/%zz", "%25zz/"),
            ("/%5chost", "%5Chost/"),
            ("/\\host", "%5Chost/"),
            ("/d\u{f6}cs", "d%C3%B6cs/"),
            ("/%ff", "%FF/"),
            ("/x/../docs", "docs/"),
        ];
        for (target, expected) in table {
            assert_eq!(location(target), expected, "{target}");
        }
    }

    /// Resolves a relative reference against the path of a request (RFC 3986 §5.2.3 and §5.2.4).
    fn resolve(base: &str, reference: &str) -> String {
        let (directory, _) = base.rsplit_once('/').unwrap();
        let mut segments: Vec<&str> = Vec::new();
        let merged = format!("{directory}/{reference}");
        for segment in merged.split('/').skip(1) {
            match segment {
                "." => {}
                ".." => drop(segments.pop()),
                segment => segments.push(segment),
            }
        }
        format!("/{}", segments.join("/"))
    }

    #[test]
    fn an_unusual_spelling_leads_to_the_same_directory() {
        let table = [
            ("/a%2fdocs", "/a/docs/"),
            ("/a/b%2Fdocs", "/a/b/docs/"),
            ("/a/b/..%2Fdocs", "/a/docs/"),
            ("/a/b/%2e%2e%2fdocs", "/a/docs/"),
        ];
        for (target, expected) in table {
            assert_eq!(resolve(target, &location(target)), expected, "{target}");
        }
    }
}
