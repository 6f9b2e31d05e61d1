//! The path of a rule: `/exact`, `/with/:placeholders`, `/below/*`.
//!
//! Invariant: a pattern is compared with the path by which the file is looked up: decoded, without empty and dot segments, and
//! without slashes around it. So no spelling of a path gets round a rule: `/private%2Fx` means the file `private/x`, and a rule for
//! `/private/*` matches it. A match of any pattern takes one pass over the path.

use memchr::memchr;
use percent_encoding::percent_decode_str;

/// Where a pattern may have its `*`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wildcard {
    /// Only as the last segment.
    AtEnd,
    Anywhere,
}

/// The path of a rule, split into what is compared and what is captured.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    parts: Vec<PatternPart>,
    names: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PatternPart {
    /// These bytes, which are not empty.
    Literal(Vec<u8>),
    /// One segment.
    Placeholder,
    /// What stands before this part, and everything below it.
    Below,
    /// Everything up to these bytes, which end the path.
    Until(Vec<u8>),
}

/// The most placeholders of a rule, `*` included.
pub(super) const MAX_NAMES: usize = 32;

/// The placeholder that stands for the part of a path that `*` matches.
pub(super) const SPLAT: &str = "splat";

impl Pattern {
    /// Reads a path that begins with a slash. A byte that is percent-encoded means itself, also `*` and `:`.
    pub(super) fn parse(text: &str, wildcard: Wildcard) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err(format!("the path {text:?} does not begin with a slash"));
        }
        if text.contains(['?', '#']) {
            return Err(format!("the path {text:?} has a query or a fragment"));
        }
        let (head, tail) = match text.split_once('*') {
            Some((head, tail)) => (head, Some(tail)),
            None => (text, None),
        };
        let mut pattern = Self::of_segments(head)?;
        if let Some(tail) = tail {
            pattern.push_splat(head, tail, wildcard)?;
        }
        check_names(&pattern.names)?;
        Ok(pattern)
    }

    /// Reads what stands before a `*`, or a path without one.
    fn of_segments(head: &str) -> Result<Self, String> {
        let mut pattern = Self {
            parts: Vec::new(),
            names: Vec::new(),
        };
        for segment in head.split('/').filter(|segment| !segment.is_empty()) {
            if !pattern.parts.is_empty() {
                pattern.push(b"/");
            }
            match placeholder(segment)? {
                Some(name) => {
                    pattern.parts.push(PatternPart::Placeholder);
                    pattern.names.push(name.to_owned());
                }
                None => pattern.push(&decoded(segment)?),
            }
        }
        Ok(pattern)
    }

    /// Adds the `*` between `head`, which was read, and `tail`.
    fn push_splat(&mut self, head: &str, tail: &str, wildcard: Wildcard) -> Result<(), String> {
        self.names.push(SPLAT.to_owned());
        let is_segment = head.ends_with('/');
        if is_segment && matches!(tail, "" | "/") {
            self.parts.push(PatternPart::Below);
            return Ok(());
        }
        if wildcard == Wildcard::AtEnd {
            return Err("a `*` must be the last segment of a path".to_owned());
        }
        match self.parts.last() {
            Some(_) if is_segment => self.push(b"/"),
            Some(PatternPart::Placeholder) => {
                return Err("a placeholder is not a whole segment".to_owned());
            }
            _ => {}
        }
        self.parts.push(PatternPart::Until(suffix(tail)?));
        Ok(())
    }

    /// Adds bytes to the literal at the end.
    fn push(&mut self, bytes: &[u8]) {
        match self.parts.last_mut() {
            Some(PatternPart::Literal(literal)) => literal.extend_from_slice(bytes),
            _ => self.parts.push(PatternPart::Literal(bytes.to_vec())),
        }
    }

    /// The names of the placeholders, in order; the name of `*` is `splat`.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns whether the pattern matches `path`, and gives the bytes for each of the [names](Self::names) to `capture`. What it
    /// gives counts only if the pattern matches.
    pub(super) fn matches<'p>(&self, path: &'p [u8], mut capture: impl FnMut(&'p [u8])) -> bool {
        let mut rest = path;
        for part in &self.parts {
            let after = match part {
                PatternPart::Literal(literal) => rest.strip_prefix(&literal[..]),
                PatternPart::Placeholder => {
                    let (segment, after) = rest.split_at(memchr(b'/', rest).unwrap_or(rest.len()));
                    capture(segment);
                    (!segment.is_empty()).then_some(after)
                }
                PatternPart::Below => {
                    let is_whole = rest.len() == path.len() || rest.is_empty();
                    let below = if is_whole {
                        Some(rest)
                    } else {
                        rest.strip_prefix(b"/")
                    };
                    below.map(|below| {
                        capture(below);
                        &[][..]
                    })
                }
                PatternPart::Until(suffix) => rest.strip_suffix(&suffix[..]).map(|before| {
                    capture(before);
                    &[][..]
                }),
            };
            let Some(after) = after else {
                return false;
            };
            rest = after;
        }
        rest.is_empty()
    }
}

/// Returns the name of the placeholder that `segment` is; `None` for another segment.
fn placeholder(segment: &str) -> Result<Option<&str>, String> {
    let Some(text) = segment.strip_prefix(':') else {
        return Ok(None);
    };
    match split_name(text) {
        ("", _) => Ok(None),
        (name, "") => Ok(Some(name)),
        (name, _) => Err(format!("the placeholder `:{name}` is not a whole segment")),
    }
}

/// Splits the name of a placeholder from the front of `text`: a letter, then letters, digits and `_`. It is empty if there is none.
pub(super) fn split_name(text: &str) -> (&str, &str) {
    let is_inside = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let end = match text.chars().next() {
        Some(first) if first.is_ascii_alphabetic() => text.find(|char| !is_inside(char)),
        _ => Some(0),
    };
    text.split_at(end.unwrap_or(text.len()))
}

/// Returns what must stand behind the bytes that `*` matches.
fn suffix(tail: &str) -> Result<Vec<u8>, String> {
    if tail.contains('*') {
        return Err("the path has more than one `*`".to_owned());
    }
    let mut suffix = Vec::new();
    for (index, segment) in tail.split('/').enumerate() {
        if index > 0 && placeholder(segment)?.is_some() {
            return Err("the path has a placeholder behind its `*`".to_owned());
        }
        if index == 0 || !segment.is_empty() {
            suffix.extend_from_slice(if index == 0 { b"" } else { b"/" });
            suffix.extend(decoded(segment)?);
        }
    }
    Ok(suffix)
}

/// Decodes a segment, or a part of one.
fn decoded(segment: &str) -> Result<Vec<u8>, String> {
    let decoded: Vec<u8> = percent_decode_str(segment).collect();
    if decoded.contains(&0) || decoded.contains(&b'/') || matches!(&decoded[..], b"." | b"..") {
        return Err(format!("no file has the name {segment:?}"));
    }
    Ok(decoded)
}

/// Checks that the placeholders of one rule are few enough and have different names.
pub(super) fn check_names(names: &[String]) -> Result<(), String> {
    if names.len() > MAX_NAMES {
        return Err(format!("the rule has more than {MAX_NAMES} placeholders"));
    }
    let mut indexed = names.iter().enumerate();
    match indexed.find(|(index, name)| names[..*index].contains(name)) {
        Some((_, name)) => Err(format!("the rule has `:{name}` more than once")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what `pattern` captures from `path`.
    fn captured(pattern: &str, path: &str) -> Option<Vec<String>> {
        let pattern = Pattern::parse(pattern, Wildcard::Anywhere).unwrap();
        let mut values = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let matches = pattern.matches(path.as_bytes(), |value| values.push(text(value)));
        matches.then_some(values)
    }

    #[test]
    fn patterns_match_whole_paths() {
        let table: [(&str, &str, Option<&[&str]>); 44] = [
            ("/", "", Some(&[])),
            ("/", "a", None),
            ("/a", "a", Some(&[])),
            ("/a/", "a", Some(&[])),
            ("//a//b/", "a/b", Some(&[])),
            ("/a", "", None),
            ("/a", "ab", None),
            ("/a", "A", None),
            ("/a", "a/b", None),
            ("/a/b", "a", None),
            ("/a%20b", "a b", Some(&[])),
            ("/c%C3%A9", "cé", Some(&[])),
            ("/cé", "cé", Some(&[])),
            ("/%zz", "%zz", Some(&[])),
            ("/%2A", "*", Some(&[])),
            ("/%2A", "x", None),
            ("/%3Aa", ":a", Some(&[])),
            ("/a:b", "a:b", Some(&[])),
            ("/:1", ":1", Some(&[])),
            ("/:a", "x", Some(&["x"])),
            ("/:a/", "x", Some(&["x"])),
            ("/:a", "", None),
            ("/:a", "x/y", None),
            ("/:a/:b_2", "x/y.html", Some(&["x", "y.html"])),
            ("/:a/:b", "x", None),
            ("/x/:a/y", "x/1/y", Some(&["1"])),
            ("/x/:a/y", "x/1/2/y", None),
            ("/*", "", Some(&[""])),
            ("/*", "a/b", Some(&["a/b"])),
            ("/a/*", "a", Some(&[""])),
            ("/a/*", "a/b/c", Some(&["b/c"])),
            ("/a/*/", "a/b", Some(&["b"])),
            ("/a/*", "ab", None),
            ("/a/*", "", None),
            ("/:a/*", "x", Some(&["x", ""])),
            ("/:a/*", "x/y/z", Some(&["x", "y/z"])),
            ("/*.jpg", "a/b.jpg", Some(&["a/b"])),
            ("/*.jpg", "a/b.png", None),
            ("/i/*.jpg", "i/b.jpg", Some(&["b"])),
            ("/i/*.jpg", "b.jpg", None),
            ("/img-*", "img-1/2", Some(&["1/2"])),
            ("/*/edit", "a/b/edit", Some(&["a/b"])),
            ("/a/*/b", "a/b", None),
            ("/a*a", "a", None),
        ];
        for (pattern, path, expected) in table {
            let found = captured(pattern, path);
            let found: Option<Vec<&str>> = found
                .as_ref()
                .map(|values| values.iter().map(|value| &**value).collect());
            assert_eq!(found.as_deref(), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn patterns_that_no_path_can_match_are_refused() {
        for (pattern, reason) in [
            ("a", "does not begin with a slash"),
            ("", "does not begin with a slash"),
            ("/a?b", "query"),
            ("/a#b", "fragment"),
            ("/a%2Fb", "no file"),
            ("/a%00b", "no file"),
            ("/./a", "no file"),
            ("/a/%2e%2E", "no file"),
            ("/*/*", "more than one `*`"),
            ("/**", "more than one `*`"),
            ("/*/:a", "behind its `*`"),
            ("/:a/:a", "`:a` more than once"),
            ("/:splat/*", "`:splat` more than once"),
            ("/:a.html", "not a whole segment"),
            ("/:a-:b", "not a whole segment"),
            ("/:a*", "not a whole segment"),
        ] {
            let message = Pattern::parse(pattern, Wildcard::Anywhere).unwrap_err();
            assert!(message.contains(reason), "{pattern}: {message}");
        }
    }

    #[test]
    fn the_number_of_placeholders_is_limited() {
        let pattern = |count| {
            (0..count)
                .map(|number| format!("/:n{number}"))
                .collect::<String>()
        };
        assert!(Pattern::parse(&pattern(MAX_NAMES), Wildcard::AtEnd).is_ok());
        assert!(Pattern::parse(&pattern(MAX_NAMES + 1), Wildcard::AtEnd).is_err());
    }

    #[test]
    fn a_wildcard_may_be_held_to_the_end() {
        for pattern in ["/*", "/a/*", "/:a/*", "/a/*/", "/a"] {
            assert!(
                Pattern::parse(pattern, Wildcard::AtEnd).is_ok(),
                "{pattern}"
            );
        }
        for pattern in ["/*.jpg", "/a*", "/*/a", "/a-*/"] {
            assert!(
                Pattern::parse(pattern, Wildcard::AtEnd).is_err(),
                "{pattern}"
            );
        }
    }
}
