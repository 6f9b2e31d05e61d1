//! `_redirects`: rules that send a path elsewhere, or serve another file for it. A line is
//! `FROM [NAME=VALUE...] TO [STATUS][!]`, as Netlify documents it; Cloudflare Pages has a subset.
//!
//! Invariant: the first rule that matches decides. A Location stays on this server unless the rule's own target names another one,
//! and it has only visible ASCII: what the client sent gets into it percent-encoded.
//!
//! Finding a rule is a scan over the rules that compares the path with the start of each.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::lines::{BadLine, is_url, read_lines, within_limit};
use super::pattern::{MAX_NAMES, Pattern, Wildcard, check_names, split_name};
use super::target::RedirectTarget;
use crate::files::names::translate_path::translate_path;
use crate::handler::query;
use crate::http::status::HttpStatus;

/// The rules of a `_redirects` file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Redirects {
    rules: Vec<RedirectRule>,
    /// The number of rules up to the last one that is forced.
    up_to_forced: usize,
}

/// What a rule does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Redirected {
    /// The reply has this Location and one of the statuses 301, 302, 303, 307 and 308.
    To {
        status: HttpStatus,
        location: String,
    },
    /// The reply has this status, 200, 404 or 410, and the file that `target` means, a path as a client would send it. No other rule
    /// applies to `target`.
    Served { status: HttpStatus, target: String },
}

#[derive(Clone, Debug)]
struct RedirectRule {
    from: Pattern,
    /// What the query must be; empty if any will do.
    query: Vec<Parameter>,
    to: RedirectTarget,
    status: HttpStatus,
    is_forced: bool,
}

/// A pair that the query must have.
#[derive(Clone, Debug)]
struct Parameter {
    name: String,
    /// `None` for a placeholder: any value.
    value: Option<String>,
}

impl Redirects {
    /// Reads a `_redirects` file.
    ///
    /// # Errors
    /// The first line that is no rule, or whose rule needs what this server does not have.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, BadLine> {
        let mut rules: Vec<RedirectRule> = Vec::new();
        read_lines(text, |_, line| {
            rules.push(RedirectRule::parse(line)?);
            within_limit(rules.len())
        })?;
        let last_forced = rules.iter().rposition(|rule| rule.is_forced);
        let up_to_forced = last_forced.map_or(0, |index| index + 1);
        Ok(Self {
            rules,
            up_to_forced,
        })
    }

    /// Returns what the rules do with a request before its file is looked for: only if the first rule that matches is forced (`!`).
    /// The parameters are those of [`find`](Self::find). It costs nothing if no rule is forced.
    pub(crate) fn find_forced(&self, path: &[u8], query: &str) -> Option<Redirected> {
        let query = RequestQuery::new(query);
        let mut rules = self.rules[..self.up_to_forced].iter();
        let (is_forced, redirected) =
            rules.find_map(|rule| Some((rule.is_forced, rule.apply(path, &query)?)))?;
        is_forced.then_some(redirected)
    }

    /// Returns what the rules do with a request for which there is no file. `path` is what [`translate_path`] makes of its target:
    /// decoded, and without slashes around it. `query` is empty if there is none.
    pub(crate) fn find(&self, path: &[u8], query: &str) -> Option<Redirected> {
        let query = RequestQuery::new(query);
        self.rules.iter().find_map(|rule| rule.apply(path, &query))
    }
}

/// The query of a request. Its pairs are read once, and only if a rule asks for them.
struct RequestQuery<'q> {
    text: &'q str,
    pairs: OnceCell<Vec<(Cow<'q, str>, Cow<'q, str>)>>,
}

impl<'q> RequestQuery<'q> {
    fn new(text: &'q str) -> Self {
        Self {
            text,
            pairs: OnceCell::new(),
        }
    }

    fn pairs(&self) -> &[(Cow<'q, str>, Cow<'q, str>)] {
        self.pairs.get_or_init(|| query::pairs(self.text).collect())
    }
}

impl RedirectRule {
    fn parse(line: &str) -> Result<Self, String> {
        // A comment may follow a rule.
        let mut words = line
            .split_ascii_whitespace()
            .take_while(|word| !word.starts_with('#'));
        let from = words.next().unwrap_or_default();
        if is_url(from) {
            return Err(format!(
                "{from:?} has a domain: rules are for paths of this server"
            ));
        }
        let from = Pattern::parse(from, Wildcard::AtEnd)?;
        let mut names = from.names().to_vec();
        let mut query = Vec::new();
        let to = loop {
            match words.next() {
                None => return Err("the rule has no target".to_owned()),
                Some(word) if word.starts_with('/') || is_url(word) => break word,
                Some(word) => query.push(Parameter::parse(word, &mut names)?),
            }
        };
        check_names(&names)?;
        if query.len() > MAX_NAMES {
            return Err(format!("the rule has more than {MAX_NAMES} parameters"));
        }
        let (status, is_forced) = read_status(words)?;
        let to = RedirectTarget::parse(to, &names)?;
        if !is_redirection(status) && to.is_url() {
            let code = status.code();
            return Err(format!(
                "status {code} serves a file: this server is no proxy to another one"
            ));
        }
        Ok(Self {
            from,
            query,
            to,
            status,
            is_forced,
        })
    }

    /// Returns what the rule does with a request; `None` if it does not match, or if it would send the client back to the same path.
    fn apply(&self, path: &[u8], query: &RequestQuery<'_>) -> Option<Redirected> {
        let mut values = Vec::new();
        if !self.from.matches(path, |value| values.push(value))
            || !self.takes_query(query, &mut values)
        {
            return None;
        }
        let status = self.status;
        if !is_redirection(status) {
            let target = self.to.fill(&values, "");
            return Some(Redirected::Served { status, target });
        }
        // The parameters that a rule asks for are used up.
        let passed_on = if self.query.is_empty() {
            query.text
        } else {
            ""
        };
        let location = self.to.fill(&values, passed_on);
        (!self.leads_back(&location, path)).then_some(Redirected::To { status, location })
    }

    /// Returns whether the rule accepts `query`; adds the values of placeholders to `values`.
    fn takes_query<'q>(&self, query: &'q RequestQuery<'_>, values: &mut Vec<&'q [u8]>) -> bool {
        self.query.is_empty() || capture_query(&self.query, query.pairs(), values)
    }

    /// Returns whether `location` would send a client at `path` back to this rule, without an end.
    fn leads_back(&self, location: &str, path: &[u8]) -> bool {
        let mut back = Vec::new();
        let query = RequestQuery::new(query::split_target(location).1);
        !self.to.is_url()
            && translate_path(location.as_bytes(), &mut back).is_some()
            && back == path
            && self.takes_query(&query, &mut Vec::new())
    }
}

impl Parameter {
    /// Reads `NAME=VALUE`, and adds the name of a placeholder to `names`.
    fn parse(word: &str, names: &mut Vec<String>) -> Result<Self, String> {
        let pair = word.split_once('=').filter(|(name, _)| !name.is_empty());
        let Some((_, value)) = pair else {
            return Err(format!(
                "the rule has no target: {word:?} is neither a path nor a URL"
            ));
        };
        let is_placeholder = value
            .strip_prefix(':')
            .map(split_name)
            .is_some_and(|(name, rest)| !name.is_empty() && rest.is_empty());
        let (name, literal) = query::pairs(word).next().unwrap_or_default();
        if is_placeholder {
            names.push(value[1..].to_owned());
        }
        Ok(Self {
            name: name.into_owned(),
            value: (!is_placeholder).then(|| literal.into_owned()),
        })
    }
}

/// Returns whether `pairs` are exactly the parameters `wanted`, in any order; adds the values of placeholders to `values`.
fn capture_query<'q>(
    wanted: &[Parameter],
    pairs: &'q [(Cow<'_, str>, Cow<'_, str>)],
    values: &mut Vec<&'q [u8]>,
) -> bool {
    pairs.len() == wanted.len()
        && wanted.iter().all(|parameter| {
            let pair = pairs.iter().find(|(name, _)| *name == parameter.name);
            match (pair, &parameter.value) {
                (None, _) => false,
                (Some((_, value)), Some(wanted)) => value == wanted,
                (Some((_, value)), None) => {
                    values.push(value.as_bytes());
                    true
                }
            }
        })
}

/// Reads what follows the target.
fn read_status<'w>(words: impl Iterator<Item = &'w str>) -> Result<(HttpStatus, bool), String> {
    let mut status = None;
    for word in words {
        if let Some((condition, _)) = word.split_once('=') {
            return Err(format!("the condition {condition:?} is not supported"));
        }
        if status.is_some() {
            return Err(format!("{word:?} follows the status"));
        }
        let (code, is_forced) = word
            .strip_suffix('!')
            .map_or((word, false), |code| (code, true));
        let known = code
            .parse()
            .ok()
            .filter(|status: &HttpStatus| is_redirection(*status) || serves(*status));
        let known = known.ok_or_else(|| format!("the status {word:?} is not supported"))?;
        status = Some((known, is_forced));
    }
    Ok(status.unwrap_or((HttpStatus::MOVED_PERMANENTLY, false)))
}

fn is_redirection(status: HttpStatus) -> bool {
    matches!(status.code(), 301 | 302 | 303 | 307 | 308)
}

fn serves(status: HttpStatus) -> bool {
    matches!(status.code(), 200 | 404 | 410)
}

#[cfg(test)]
mod tests;
