//! The target of a rule in `_redirects`, and how it is filled in.
//!
//! Invariant: what a rule captured stays inside its place. Its bytes are percent-encoded, and slashes are never doubled, so a path
//! stays a path: `//host` and `/\host` would lead a browser to another server.

use std::mem;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::lines::is_url;
use super::pattern::{SPLAT, split_name};
use crate::files::names::percent_encode::percent_encode;
use crate::http::token::{is_host, names_host};

/// What a URL must not contain as it is (RFC 3986 §2). Bytes that are percent-encoded already stay so.
const NOT_IN_URL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A path or an absolute URL with places for what a rule captures.
#[derive(Clone, Debug)]
pub(super) struct RedirectTarget {
    is_url: bool,
    has_query: bool,
    before_fragment: Vec<Piece>,
    fragment: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    /// One value, as a segment or in a query; the number says which.
    Value(usize),
    /// What `*` matched, with its slashes.
    Segments(usize),
}

impl RedirectTarget {
    /// Reads a target that may contain `names`.
    pub(super) fn parse(text: &str, names: &[String]) -> Result<Self, String> {
        let is_url = is_url(text);
        let path_start = if is_url {
            authority_end(text)?
        } else {
            check_path(text)?
        };
        let (before_fragment, fragment) = text.split_once('#').unwrap_or((text, ""));
        let query_start = before_fragment.find('?').unwrap_or(before_fragment.len());
        let (path, query) = before_fragment.split_at(query_start);
        let (start, path) = path.split_at(path_start);
        if path.contains('*') {
            return Err("the target has a `*`: write `:splat` for what it matched".to_owned());
        }
        let mut pieces = TargetPieces {
            names,
            pieces: Vec::new(),
        };
        pieces.push_text(start);
        pieces.read(path, Piece::Segments)?;
        pieces.read(query, Piece::Value)?;
        let before_fragment = mem::take(&mut pieces.pieces);
        if text.contains('#') {
            pieces.push_text("#");
            pieces.read(fragment, Piece::Value)?;
        }
        Ok(Self {
            is_url,
            has_query: !query.is_empty(),
            before_fragment,
            fragment: pieces.pieces,
        })
    }

    /// Returns whether the target is a URL with a host.
    pub(super) fn is_url(&self) -> bool {
        self.is_url
    }

    /// Fills in `values`, which stand in the order of the names. `query` is passed on if the target has none of its own.
    pub(super) fn fill(&self, values: &[&[u8]], query: &str) -> String {
        let mut filled = String::new();
        fill(&mut filled, &self.before_fragment, values);
        if !query.is_empty() && !self.has_query {
            filled.push('?');
            filled.extend(utf8_percent_encode(query, NOT_IN_URL));
        }
        fill(&mut filled, &self.fragment, values);
        filled
    }
}

fn fill(filled: &mut String, pieces: &[Piece], values: &[&[u8]]) {
    let value = |index: &usize| values.get(*index).copied().unwrap_or_default();
    for piece in pieces {
        match piece {
            // After `:splat` that matched nothing, the slash before it is there already.
            Piece::Text(text) if filled.ends_with('/') => {
                filled.push_str(text.trim_start_matches('/'));
            }
            Piece::Text(text) => filled.push_str(text),
            Piece::Value(index) => filled.extend(percent_encode(value(index))),
            Piece::Segments(index) => {
                // A parameter may be called `splat`, too, and then a client chooses how many slashes there are.
                let segments = value(index).split(|byte| *byte == b'/');
                for (number, segment) in segments.filter(|name| !name.is_empty()).enumerate() {
                    filled.push_str(if number == 0 { "" } else { "/" });
                    filled.extend(percent_encode(segment));
                }
            }
        }
    }
}

/// Checks the start of a path.
fn check_path(text: &str) -> Result<usize, String> {
    if text.starts_with("//") || text.starts_with("/\\") {
        return Err(format!(
            "the target {text:?} begins with two slashes: write a URL with its scheme"
        ));
    }
    if text.starts_with("/.netlify/") {
        return Err(format!(
            "the target {text:?} is a function: this server has only files"
        ));
    }
    Ok(0)
}

/// Returns where the authority of a URL ends. It must be a host without placeholders, so that a client cannot choose the server.
fn authority_end(url: &str) -> Result<usize, String> {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(format!(
            "the target has the scheme {scheme:?}; only http and https are supported"
        ));
    }
    let length = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = &rest[..length];
    if !is_host(host.as_bytes()) || !names_host(host.as_bytes()) || host.contains('*') {
        return Err(format!(
            "the target needs a host, and one without placeholders: {host:?}"
        ));
    }
    Ok(url.len() - rest.len() + length)
}

/// The pieces of a target while it is read.
struct TargetPieces<'n> {
    names: &'n [String],
    pieces: Vec<Piece>,
}

impl TargetPieces<'_> {
    fn push_text(&mut self, text: &str) {
        let encoded = utf8_percent_encode(text, NOT_IN_URL);
        match self.pieces.last_mut() {
            Some(Piece::Text(last)) => last.extend(encoded),
            _ => self.pieces.push(Piece::Text(encoded.to_string())),
        }
    }

    /// Adds `text`, in which `splat` makes the piece for `:splat`.
    fn read(&mut self, text: &str, splat: impl Fn(usize) -> Piece) -> Result<(), String> {
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(':') {
            self.push_text(before);
            let (name, behind) = split_name(after);
            rest = match self.names.iter().position(|known| known == name) {
                Some(index) => {
                    let piece = if name == SPLAT {
                        splat(index)
                    } else {
                        Piece::Value(index)
                    };
                    self.pieces.push(piece);
                    behind
                }
                None if before.ends_with('/') && !name.is_empty() => {
                    return Err(format!(
                        "the target has `:{name}`, but nothing before it has"
                    ));
                }
                None => {
                    self.push_text(":");
                    after
                }
            };
        }
        self.push_text(rest);
        Ok(())
    }
}
