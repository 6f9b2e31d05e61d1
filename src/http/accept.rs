//! Accept: the quality that a client gives to a media type (RFC 9110 §12.4.2, §12.5.1).
//!
//! Invariant: a malformed member is ignored, and without a well-formed member the client has no preference.

use std::iter;

use super::token::is_token;

/// The highest quality, in thousandths.
pub(super) const MAX_QUALITY: u16 = 1000;

/// Returns the quality that the Accept fields give to `media_type`, from 0 (not acceptable) to 1000.
///
/// The most specific media range decides. Its parameters are ignored, because `media_type` has none.
pub(crate) fn quality<'a>(accept: impl Iterator<Item = &'a [u8]>, media_type: &str) -> u16 {
    let (main, subtype) = media_type.split_once('/').unwrap_or_default();
    let mut any_valid = false;
    let mut best = None;
    for member in accept.flat_map(|value| split_unquoted(value, b',')) {
        let mut parts = split_unquoted(member, b';').map(<[u8]>::trim_ascii);
        let range = parts.next().unwrap_or_default();
        let specificity = specificity(range, main.as_bytes(), subtype.as_bytes());
        // After the first well-formed member, only matching ranges need their weight read.
        if any_valid && specificity.is_none() {
            continue;
        }
        let Some(quality) = weight(range, parts) else {
            continue;
        };
        any_valid = true;
        // The tuple orders by specificity first; among equals the higher quality wins.
        best = specificity
            .map(|specificity| (specificity, quality))
            .max(best);
        // No later member can be more specific or have a higher quality.
        if best == Some((Specificity::Subtype, MAX_QUALITY)) {
            break;
        }
    }
    match best {
        Some((_, quality)) => quality,
        None if any_valid => 0,
        None => MAX_QUALITY,
    }
}

/// How closely a media range describes a media type.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Specificity {
    Anything,
    Type,
    Subtype,
}

/// Returns `None` if `range` does not contain the media type `main/subtype`.
fn specificity(range: &[u8], main: &[u8], subtype: &[u8]) -> Option<Specificity> {
    if range == b"*/*" {
        return Some(Specificity::Anything);
    }
    let (ranged, rest) = range.split_at_checked(main.len())?;
    let rest = rest.strip_prefix(b"/")?;
    if !ranged.eq_ignore_ascii_case(main) {
        None
    } else if rest == b"*" {
        Some(Specificity::Type)
    } else {
        rest.eq_ignore_ascii_case(subtype)
            .then_some(Specificity::Subtype)
    }
}

/// Returns the quality that a member gives to its `range`, or `None` if the member is malformed.
fn weight<'a>(range: &[u8], mut parameters: impl Iterator<Item = &'a [u8]>) -> Option<u16> {
    let slash = memchr::memchr(b'/', range)?;
    let (main, subtype) = (range.get(..slash)?, range.get(slash + 1..)?);
    if !is_token(main) || !is_token(subtype) || (main == b"*" && subtype != b"*") {
        return None;
    }
    let weight = parameters.find_map(|parameter| match parameter {
        [b'q' | b'Q', b'=', weight @ ..] => Some(weight),
        _ => None,
    });
    weight.map_or(Some(MAX_QUALITY), qvalue)
}

/// Reads a weight with at most three decimals; returns it in thousandths.
pub(super) fn qvalue(weight: &[u8]) -> Option<u16> {
    let (whole, decimals) = match weight {
        [whole] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] => (whole, decimals),
        _ => return None,
    };
    if decimals.len() > 3 || !decimals.iter().chain([whole]).all(u8::is_ascii_digit) {
        return None;
    }
    let thousandths = decimals.iter().chain(b"000").take(3);
    let value = [whole]
        .into_iter()
        .chain(thousandths)
        .fold(0, |value, digit| value * 10 + u16::from(digit - b'0'));
    (value <= MAX_QUALITY).then_some(value)
}

/// Splits at every `separator` outside a quoted-string (RFC 9110 §5.6.4).
fn split_unquoted(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(text);
    iter::from_fn(move || {
        let text = rest?;
        let Some(end) = find_unquoted(text, separator) else {
            return rest.take();
        };
        rest = text.get(end + 1..);
        text.get(..end)
    })
}

fn find_unquoted(text: &[u8], separator: u8) -> Option<usize> {
    // Fast path: most fields have no quotes.
    let found = memchr::memchr2(separator, b'"', text)?;
    if text.get(found) == Some(&separator) {
        return Some(found);
    }
    let (mut quoted, mut escaped) = (false, false);
    text.iter().position(|&byte| {
        let ends = byte == separator && !quoted;
        quoted ^= byte == b'"' && !escaped;
        escaped = quoted && byte == b'\\' && !escaped;
        ends
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn html(accept: &[&str]) -> u16 {
        quality(accept.iter().map(|value| value.as_bytes()), "text/html")
    }

    #[test]
    fn the_most_specific_range_decides() {
        for (value, expected) in [
            ("text/html", 1000),
            ("TEXT/Html", 1000),
            ("text/*", 1000),
            ("*/*", 1000),
            ("text/plain", 0),
            ("application/*", 0),
            ("text/html;q=0.5, */*", 500),
            ("*/*, text/*;q=0.2, text/html;q=0.1", 100),
            ("text/*;q=0.2, */*;q=0.9", 200),
            ("text/html;q=0, */*", 0),
            ("text/plain, */*;q=0.1", 100),
            ("text/html;q=0.3, text/html;level=1;q=0.7", 700),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                1000,
            ),
        ] {
            assert_eq!(html(&[value]), expected, "{value}");
        }
    }

    #[test]
    fn weights_have_at_most_three_decimals() {
        for (weight, expected) in [
            ("0", 0),
            ("0.", 0),
            ("0.5", 500),
            ("0.05", 50),
            ("0.001", 1),
            ("0.999", 999),
            ("1", 1000),
            ("1.", 1000),
            ("1.000", 1000),
        ] {
            for member in [
                format!("text/html;q={weight}"),
                format!("text/html ; Q={weight}"),
                format!("text/html;charset=\"utf-8;q=1,\\\"\";\tq={weight}; extension"),
            ] {
                assert_eq!(html(&[&member]), expected, "{member}");
            }
        }
    }

    #[test]
    fn malformed_members_are_ignored() {
        for junk in [
            "text/html;q=",
            "text/html;q=1.001",
            "text/html;q=2",
            "text/html;q=0.1234",
            "text/html;q=.5",
            "text/html;q=-1",
            "text/html;q=high",
            "text/html;q=\"1\"",
            "text",
            "/",
            "text/",
            "/html",
            "*",
            "*/html",
            "text/html/x",
            "te xt/html",
            "text/ht\u{e9}ml",
            ";q=1",
            "",
            ",",
        ] {
            assert_eq!(html(&[junk, "*/*;q=0.1"]), 100, "{junk}");
            assert_eq!(html(&[&format!("*/*;q=0.1,{junk}")]), 100, "{junk}");
        }
    }

    #[test]
    fn several_fields_are_one_list() {
        assert_eq!(html(&["text/plain", "text/html;q=0.4"]), 400);
        assert_eq!(html(&["*/*", "text/html;q=0.4"]), 400);
    }

    #[test]
    fn without_a_well_formed_member_there_is_no_preference() {
        for accept in [&[][..], &[""], &["junk", ", ,"], &["text/html;q=7"]] {
            assert_eq!(html(accept), 1000, "{accept:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_valid_quality(value in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(quality([value.as_slice()].into_iter(), "text/html") <= 1000);
        }

        #[test]
        fn accept_like_text_gives_a_valid_quality(value in "(text|html|[*/;q=0-9.,\"\\\\ ]){0,24}") {
            prop_assert!(html(&[&value]) <= 1000);
        }
    }
}
