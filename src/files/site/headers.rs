//! `_headers`: fields for the replies to some paths. A rule is a line with a path, and below it lines `NAME: VALUE`, which set a
//! field, or `! NAME`, which removes one, as Cloudflare Pages documents it; Netlify has no removals.
//!
//! Invariant: a name is one that the owner of a site may set, and a value is a valid field value. The set of rules that match a path
//! is all that the fields of a reply depend on.

use super::lines::{BadLine, is_url, read_lines, within_limit};
use super::pattern::{Pattern, Wildcard, split_name};
use crate::http::field::{FieldName, FieldValue};

/// Fields that frame the content, belong to the connection, or say what the server alone knows: which copy, coding, part and time
/// this is. `Location` is for `_redirects`.
const SET_BY_SERVER: [&str; 22] = [
    "accept-ranges",
    "age",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "date",
    "etag",
    "http2-settings",
    "keep-alive",
    "last-modified",
    "location",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
];

/// The rules of a `_headers` file.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeaderRules {
    rules: Vec<HeaderRule>,
}

#[derive(Clone, Debug)]
struct HeaderRule {
    path: Pattern,
    line: usize,
    changes: Vec<FieldChange>,
}

#[derive(Clone, Debug)]
enum FieldChange {
    Set { name: String, value: String },
    Remove { name: String },
}

/// What the rules that match a path do to the fields of a reply. Names compare without case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldChanges {
    /// Fields that replace those of the same name. Only Set-Cookie may be there more than once.
    pub(crate) set: Vec<(String, String)>,
    /// Names of fields that the reply does not have, unless they are in `set`.
    pub(crate) removed: Vec<String>,
}

impl HeaderRules {
    /// Reads a `_headers` file.
    ///
    /// # Errors
    /// The first line that is neither a path nor a field, or that needs what this server does not have.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, BadLine> {
        let mut rules: Vec<HeaderRule> = Vec::new();
        read_lines(text, |line, text| {
            if is_url(text) {
                return Err(format!(
                    "{text:?} has a domain: rules are for paths of this server"
                ));
            }
            if text.starts_with('/') {
                rules.push(HeaderRule::new(line, text)?);
                return within_limit(rules.len());
            }
            let rule = rules
                .last_mut()
                .ok_or("a path must stand before the first field")?;
            let change = FieldChange::parse(text, &rule.path)?;
            rule.changes.push(change);
            Ok(())
        })?;
        if let Some(rule) = rules.iter().find(|rule| rule.changes.is_empty()) {
            let message = "the path has no fields below it".to_owned();
            return Err(BadLine {
                number: rule.line,
                message,
            });
        }
        Ok(Self { rules })
    }

    /// Returns the numbers of the rules that match `path`, in order. `path` is decoded, and has no slashes around it, as
    /// [`translate_path`](crate::files::names::translate_path::translate_path) writes it.
    pub(crate) fn matching(&self, path: &[u8]) -> impl Iterator<Item = u16> {
        // There are at most 2,000 rules.
        let numbered = (0_u16..).zip(&self.rules);
        numbered.filter_map(move |(number, rule)| rule.path.matches(path, |_| ()).then_some(number))
    }

    /// Merges the changes of these rules, in order: a field that several rules set has all their values, and a removal undoes what
    /// the rules before it set. Within a rule, removals come first.
    pub(crate) fn merge(&self, numbers: impl IntoIterator<Item = u16>) -> FieldChanges {
        let mut merged = FieldChanges::default();
        let rules = numbers
            .into_iter()
            .filter_map(|number| self.rules.get(usize::from(number)));
        for rule in rules {
            for change in &rule.changes {
                if let FieldChange::Remove { name } = change {
                    merged.remove(name);
                }
            }
            for change in &rule.changes {
                if let FieldChange::Set { name, value } = change {
                    merged.set(name, value);
                }
            }
        }
        merged
    }
}

impl HeaderRule {
    fn new(line: usize, path: &str) -> Result<Self, String> {
        if path.contains([' ', '\t']) {
            return Err(format!("the path {path:?} has a blank"));
        }
        let path = Pattern::parse(path, Wildcard::Anywhere)?;
        Ok(Self {
            path,
            line,
            changes: Vec::new(),
        })
    }
}

impl FieldChange {
    fn parse(text: &str, path: &Pattern) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix('!') {
            let name = settable(name.trim_ascii())?.to_owned();
            return Ok(Self::Remove { name });
        }
        let Some((name, value)) = text.split_once(':') else {
            return Err(format!("{text:?} is neither a path nor NAME: VALUE"));
        };
        let name = settable(name.trim_ascii())?;
        let value = value.trim_ascii();
        if value.is_empty() || FieldValue::new(value.as_bytes()).is_err() {
            return Err(format!("the field {name:?} has no valid value"));
        }
        if let Some(placeholder) = placeholder_in(value, path.names()) {
            return Err(format!("`:{placeholder}` in a value is not supported"));
        }
        Ok(Self::Set {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

impl FieldChanges {
    fn remove(&mut self, name: &str) {
        self.set.retain(|(set, _)| !set.eq_ignore_ascii_case(name));
        if !self
            .removed
            .iter()
            .any(|removed| removed.eq_ignore_ascii_case(name))
        {
            self.removed.push(name.to_owned());
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        let mut set = self.set.iter_mut();
        match set.find(|(set, _)| set.eq_ignore_ascii_case(name)) {
            // The value of Set-Cookie may have commas, so several are several fields (RFC 9110 §5.3).
            Some((_, values)) if !name.eq_ignore_ascii_case("set-cookie") => {
                values.push_str(", ");
                values.push_str(value);
            }
            _ => self.set.push((name.to_owned(), value.to_owned())),
        }
    }
}

/// Returns `name` if a rule may set or remove this field.
fn settable(name: &str) -> Result<&str, String> {
    if FieldName::new(name).is_err() {
        return Err(format!("{name:?} is not the name of a field"));
    }
    if SET_BY_SERVER
        .iter()
        .any(|taken| name.eq_ignore_ascii_case(taken))
    {
        return Err(format!("the field {name:?} is set by the server alone"));
    }
    Ok(name)
}

/// Returns the first of `names` that stands as a placeholder in `value`.
fn placeholder_in<'v>(value: &'v str, names: &[String]) -> Option<&'v str> {
    let mut places = value.split(':').skip(1).map(|text| split_name(text).0);
    places.find(|place| names.iter().any(|name| name == place))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the lines that `rules` add to the reply for `path`; a removed field is `!` and its name.
    fn fields(rules: &str, path: &str) -> String {
        let rules = HeaderRules::parse(rules.as_bytes()).unwrap();
        let changes = rules.merge(rules.matching(path.as_bytes()));
        let set = changes
            .set
            .iter()
            .map(|(name, value)| format!("{name}: {value}"));
        let removed = changes.removed.iter().map(|name| format!("!{name}"));
        removed.chain(set).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn fields_of_all_matching_rules_are_merged() {
        let rules = "# all\n/*\n  X-A: 1\n\tx-b:2 \n\n  # some\n/static/*\n  X-A: 3\n\
            X-C: a:b, \"c\" # d\n/static/:x\n  X-D: 4\n/*.js\n  X-E: 5\n";
        for (path, expected) in [
            ("", "X-A: 1; x-b: 2"),
            ("a/b", "X-A: 1; x-b: 2"),
            ("static", "X-A: 1, 3; x-b: 2; X-C: a:b, \"c\" # d"),
            ("static/a/b", "X-A: 1, 3; x-b: 2; X-C: a:b, \"c\" # d"),
            (
                "static/a.js",
                "X-A: 1, 3; x-b: 2; X-C: a:b, \"c\" # d; X-D: 4; X-E: 5",
            ),
        ] {
            assert_eq!(fields(rules, path), expected, "{path}");
        }
        assert_eq!(fields("", "a"), "");
    }

    #[test]
    fn a_name_that_is_set_twice_has_both_values() {
        let rules = "/*\n Cache-Control: no-cache\n cache-control: private\n Set-Cookie: a=1\n Set-Cookie: b=2\n";
        let expected = "Cache-Control: no-cache, private; Set-Cookie: a=1; Set-Cookie: b=2";
        assert_eq!(fields(rules, "x"), expected);
    }

    #[test]
    fn a_removal_undoes_earlier_rules_and_defaults() {
        let rules = "/*\n Cache-Control: no-cache\n X: 1\n\
            /assets/*\n Cache-Control: immutable\n ! cache-control\n/a\n !X\n ! X\n/a\n X: 2\n";
        for (path, expected) in [
            ("x", "Cache-Control: no-cache; X: 1"),
            ("assets/x", "!cache-control; X: 1; Cache-Control: immutable"),
            ("a", "!X; Cache-Control: no-cache; X: 2"),
        ] {
            assert_eq!(fields(rules, path), expected, "{path}");
        }
    }

    #[test]
    fn the_numbers_of_matching_rules_tell_paths_apart() {
        let rules = HeaderRules::parse(b"/*\nA: 1\n/b\nA: 2\n/b/*\nA: 3\n").unwrap();
        let numbers = |path: &str| rules.matching(path.as_bytes()).collect::<Vec<_>>();
        assert_eq!(numbers("a"), [0]);
        assert_eq!(numbers("b"), [0, 1, 2]);
        assert_eq!(numbers("b/c"), [0, 2]);
    }

    #[test]
    fn a_bad_line_is_reported_with_its_number() {
        for (rules, number, reason) in [
            ("X: 1", 1, "a path must stand before"),
            ("/a\n", 1, "no fields below it"),
            ("/a\nX: 1\n\n/b\n# c\n/c\nX: 1", 4, "no fields below it"),
            ("/a\nX", 2, "neither a path nor NAME: VALUE"),
            ("/a\nX:", 2, "no valid value"),
            ("/a\nX: \t", 2, "no valid value"),
            ("/a\n: 1", 2, "not the name of a field"),
            ("/a\nX Y: 1", 2, "not the name of a field"),
            ("/a\n!", 2, "not the name of a field"),
            ("/a\n! X: 1", 2, "not the name of a field"),
            ("/a\nX: 1\x01", 2, "control character"),
            ("/a b\nX: 1", 1, "has a blank"),
            ("/*/*\nX: 1", 1, "more than one `*`"),
            ("https://a.example/*\nX: 1", 1, "has a domain"),
            ("/a/*\nX: /b/:splat", 2, "`:splat` in a value"),
            ("/a/:b_1\nX: x:b_1.", 2, "`:b_1` in a value"),
        ] {
            let bad = HeaderRules::parse(rules.as_bytes()).unwrap_err();
            assert_eq!(bad.number, number, "{rules}");
            assert!(bad.message.contains(reason), "{rules}: {}", bad.message);
        }
        assert_eq!(
            fields("/a/*\nX: b:spl :splatter :a\n", "a"),
            "X: b:spl :splatter :a"
        );
    }

    #[test]
    fn fields_of_the_server_can_neither_be_set_nor_removed() {
        for name in SET_BY_SERVER
            .into_iter()
            .chain(["Content-Length", "TRANSFER-ENCODING"])
        {
            for line in [format!("{name}: 1"), format!("! {name}")] {
                let bad = HeaderRules::parse(format!("/*\n{line}").as_bytes()).unwrap_err();
                assert!(bad.message.contains("by the server alone"), "{line}");
            }
        }
        for name in [
            "Content-Type",
            "Content-Disposition",
            "Vary",
            "Cache-Control",
            "Link",
            "X-A",
        ] {
            assert!(
                HeaderRules::parse(format!("/*\n{name}: a").as_bytes()).is_ok(),
                "{name}"
            );
        }
    }

    #[test]
    fn the_number_of_rules_is_limited() {
        let rules = |count| "/a\nX: 1\n".repeat(count).into_bytes();
        let most = HeaderRules::parse(&rules(2000)).unwrap();
        assert_eq!(most.matching(b"a").count(), 2000);
        assert_eq!(HeaderRules::parse(&rules(2001)).unwrap_err().number, 4001);
    }
}
