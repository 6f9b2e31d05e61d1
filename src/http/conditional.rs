//! Conditional requests: whether to send the representation, or to answer 304 or 412 (RFC 9110 §13).
//!
//! Invariant: a malformed precondition never makes a reply wrong. A malformed entity tag matches nothing and an invalid date is
//! ignored, so the worst reply to such a request is a complete one, or 412 if the field was If-Match.

use super::date::parse_http_date;
use super::headers::Headers;

/// What identifies the selected representation (RFC 9110 §8.8).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validators<'a> {
    /// The entity tag with its quotes, and `W/` before a weak one; empty if it is not known.
    pub(crate) etag: &'a [u8],
    /// The time of the last change, in seconds since 1970.
    pub(crate) last_modified: u64,
    /// Whether `last_modified` tells one version from another. If not, no date in a request is compared with it.
    pub(crate) has_date: bool,
}

/// The result of evaluating the preconditions of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precondition {
    /// Answer as if there were no preconditions.
    Proceed,
    /// Answer 304.
    NotModified,
    /// Answer 412.
    Failed,
}

/// What is known of the preconditions of a request after its head was parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    None,
    /// If-None-Match alone decides. It stands once, as the field with this index.
    NoneMatch(usize),
    /// All fields must be looked at: there is a Range, another condition, or a second If-None-Match.
    Other,
}

/// Evaluates the preconditions of a GET or HEAD request with this `condition`; `now` is as for [`evaluate`].
///
/// Fast path: nearly all conditional requests have one If-None-Match, with the tag that the server sent before.
pub(crate) fn evaluate_known(
    condition: Condition,
    headers: &Headers<'_>,
    current: &Validators<'_>,
    now: u64,
) -> Precondition {
    match condition {
        Condition::None => Precondition::Proceed,
        Condition::NoneMatch(number) if headers.value(number) == Some(current.etag) => {
            Precondition::NotModified
        }
        _ => evaluate(headers, true, Some(current), now),
    }
}

/// Evaluates all preconditions except If-Range, in the order of RFC 9110 §13.2.2.
///
/// `safe` means that the method is GET or HEAD. `current` is `None` if there is no representation. `now` decides the century of
/// a two-digit year.
pub(crate) fn evaluate(
    headers: &Headers<'_>,
    safe: bool,
    current: Option<&Validators<'_>>,
    now: u64,
) -> Precondition {
    let Some(fields) = ConditionalFields::find(headers) else {
        return Precondition::Proceed;
    };
    let dated = current.filter(|current| current.has_date);
    let modified_after = |date| Some(dated?.last_modified > parse_http_date(date, now)?);

    // Steps 1 and 2.
    let failed = if fields.if_match {
        !any_listed(headers, "if-match", current, strong_comparison)
    } else {
        fields.if_unmodified_since.and_then(modified_after) == Some(true)
    };
    if failed {
        return Precondition::Failed;
    }

    // Steps 3 and 4.
    let matches = if fields.if_none_match {
        any_listed(headers, "if-none-match", current, weak_comparison)
    } else {
        safe && fields.if_modified_since.and_then(modified_after) == Some(false)
    };
    match (matches, safe) {
        (false, _) => Precondition::Proceed,
        (true, true) => Precondition::NotModified,
        (true, false) => Precondition::Failed,
    }
}

/// Returns whether the Range field applies (RFC 9110 §13.1.5): the `value` of If-Range is the current entity tag and strong,
/// or it is the current date and a strong validator at the time `now`.
pub(crate) fn if_range_holds(value: &[u8], current: &Validators<'_>, now: u64) -> bool {
    match value {
        [b'"', ..] => value == current.etag,
        // A file can change twice within one second, so a date is strong only after its second has passed (§8.8.2.2).
        date => {
            current.has_date
                && current.last_modified < now
                && parse_http_date(date, now) == Some(current.last_modified)
        }
    }
}

/// The preconditions of a request.
#[derive(Default)]
struct ConditionalFields<'a> {
    if_match: bool,
    if_none_match: bool,
    if_modified_since: Option<&'a [u8]>,
    if_unmodified_since: Option<&'a [u8]>,
}

impl<'a> ConditionalFields<'a> {
    /// Returns `None` if the request has none, as most do.
    fn find(headers: &Headers<'a>) -> Option<Self> {
        let mut found = None;
        for (name, value) in headers.entries() {
            if !name
                .get(..3)
                .is_some_and(|start| start.eq_ignore_ascii_case(b"if-"))
            {
                continue;
            }
            let conditions: &mut Self = found.get_or_insert_default();
            if name.eq_ignore_ascii_case(b"if-match") {
                conditions.if_match = true;
            } else if name.eq_ignore_ascii_case(b"if-none-match") {
                conditions.if_none_match = true;
            } else if name.eq_ignore_ascii_case(b"if-modified-since") {
                set_date(&mut conditions.if_modified_since, value);
            } else if name.eq_ignore_ascii_case(b"if-unmodified-since") {
                set_date(&mut conditions.if_unmodified_since, value);
            }
        }
        found
    }
}

/// A second date makes the field a list, which is not a valid date (RFC 9110 §13.1.3, §13.1.4).
fn set_date<'a>(date: &mut Option<&'a [u8]>, value: &'a [u8]) {
    *date = Some(if date.is_none() { value } else { b"" });
}

/// Returns whether there is a representation and a field called `name` lists it, by `*` or by its entity tag.
fn any_listed(
    headers: &Headers<'_>,
    name: &str,
    current: Option<&Validators<'_>>,
    matches: fn(&RequestedTag<'_>, &[u8]) -> bool,
) -> bool {
    let Some(current) = current else {
        return false;
    };
    headers.get_all(name).any(|value| {
        value == b"*" || EntityTags { rest: value }.any(|tag| matches(&tag, current.etag))
    })
}

/// An entity tag in a request (RFC 9110 §8.8.3).
struct RequestedTag<'a> {
    weak: bool,
    /// The opaque-tag with its quotes.
    opaque: &'a [u8],
}

impl<'a> RequestedTag<'a> {
    /// Splits an entity tag off the start of `text`.
    fn split_from(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (weak, quoted) = match text.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, text),
        };
        let inner = quoted.strip_prefix(b"\"")?;
        let length = inner.iter().position(|&byte| !is_etagc(byte))?;
        if inner.get(length) != Some(&b'"') {
            return None;
        }
        let (opaque, rest) = quoted.split_at_checked(length + 2)?;
        Some((Self { weak, opaque }, rest))
    }
}

fn strong_comparison(tag: &RequestedTag<'_>, current: &[u8]) -> bool {
    !tag.weak && tag.opaque == current
}

fn weak_comparison(tag: &RequestedTag<'_>, current: &[u8]) -> bool {
    tag.opaque == current.strip_prefix(b"W/").unwrap_or(current)
}

fn is_etagc(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x7e | 0x80..)
}

/// The well-formed members of a list of entity tags. A malformed member is skipped up to the next comma.
struct EntityTags<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for EntityTags<'a> {
    type Item = RequestedTag<'a>;

    fn next(&mut self) -> Option<RequestedTag<'a>> {
        while !self.rest.is_empty() {
            // Quotes may contain a comma, so the tag must be read before the list is split.
            let member = self.rest.trim_ascii_start();
            let (tag, after) = match RequestedTag::split_from(member) {
                Some((tag, after)) => (Some(tag), after),
                None => (None, member),
            };
            let end = memchr::memchr(b',', after).unwrap_or(after.len());
            let (junk, rest) = after.split_at(end);
            self.rest = rest.get(1..).unwrap_or_default();
            if tag.is_some() && junk.trim_ascii().is_empty() {
                return tag;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
