//! What ties a request to those of other servers: its number (`X-Request-Id`) and its trace (`traceparent`, W3C Trace Context).
//!
//! Invariant: a value that is returned has only characters that need no escape in a log. Any other value counts as none.

/// Characters of a request's number at most.
const MAX_REQUEST_ID: usize = 128;

/// Returns the number of a request from the values of its `X-Request-Id` fields. A single field is valid that has 1 to 128 letters,
/// digits and characters of `-_.~:+/=@`, as UUIDs, ULIDs, Base64 and the numbers of balancers have.
pub(crate) fn request_id<'a>(values: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let is_safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~:+/=@".contains(byte);
    only(values).filter(|id| (1..=MAX_REQUEST_ID).contains(&id.len()) && id.iter().all(is_safe))
}

/// Returns the trace-id from the values of the `traceparent` fields: 32 hexadecimal digits in lower case (W3C Trace Context §3.2).
/// A version above 00 may have more parts.
pub(crate) fn trace_id<'a>(values: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let mut parts = only(values)?.split(|byte| *byte == b'-');
    let version = parts
        .next()
        .filter(|version| is_hex(version, 2) && *version != b"ff")?;
    let trace = parts.next().filter(|trace| is_number(trace, 32))?;
    parts.next().filter(|parent| is_number(parent, 16))?;
    parts.next().filter(|flags| is_hex(flags, 2))?;
    (version != b"00" || parts.next().is_none()).then_some(trace)
}

/// Returns the value of a field that must not be repeated.
fn only<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// Whether `text` is a number of so many digits that is not 0.
fn is_number(text: &[u8], digits: usize) -> bool {
    is_hex(text, digits) && text.iter().any(|byte| *byte != b'0')
}

fn is_hex(text: &[u8], digits: usize) -> bool {
    text.len() == digits
        && text
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use std::iter::once;

    use super::*;

    #[test]
    fn a_request_id_is_short_and_has_safe_characters_only() {
        let longest = "x".repeat(128);
        for id in [
            "1",
            "f47ac10b-58cc-4372-a567-0e02b2c3d479",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "aGVsbG8+/w==",
            "7F000001:C350_7F000001:1F90_5F9B2E6A_0001:0D3A",
            "req_1.2~3@host",
            &longest,
        ] {
            assert_eq!(request_id(once(id.as_bytes())), Some(id.as_bytes()));
        }
        for id in [
            "",
            "a b",
            "a\tb",
            "a\"b",
            "a\\b",
            "a,b",
            "a;b",
            "<b>",
            "{}",
            "a%20b",
            "\u{e9}",
            "a\u{1b}[2J",
            &"x".repeat(129),
        ] {
            assert_eq!(request_id(once(id.as_bytes())), None, "{id:?}");
        }
        assert_eq!(request_id(once(&b"a\xff"[..])), None);
    }

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_trace_id_comes_from_a_valid_traceparent() {
        let from = |value: &str| {
            let id = trace_id(once(value.as_bytes()))?;
            Some(String::from_utf8(id.to_vec()).unwrap())
        };
        for rest in [
            "00-T-00f067aa0ba902b7-01",
            "00-T-00f067aa0ba902b7-00",
            "00-T-00f067aa0ba902b7-ff",
            "01-T-00f067aa0ba902b7-01",
            "01-T-00f067aa0ba902b7-01-what-comes-later",
            "fe-T-00f067aa0ba902b7-01-",
        ] {
            let value = rest.replace('T', TRACE);
            assert_eq!(from(&value).as_deref(), Some(TRACE), "{value}");
        }
        for rest in [
            "",
            "00",
            "00-T",
            "00-T-00f067aa0ba902b7",
            "00-T-00f067aa0ba902b7-",
            "00-T-00f067aa0ba902b7-1",
            "00-T-00f067aa0ba902b7-0g",
            "00-T-00f067aa0ba902b7-01-",
            "00-T-00f067aa0ba902b7-01-more",
            "00-T-00f067aa0ba902b7-01more",
            "01-T-00f067aa0ba902b7-01more",
            "ff-T-00f067aa0ba902b7-01",
            "0-T-00f067aa0ba902b7-01",
            "0x-T-00f067aa0ba902b7-01",
            "00-T-0000000000000000-01",
            "00-T-00F067AA0BA902B7-01",
            "00-T-00f067aa0ba902b-01",
            "00-T0-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473\u{e9}-00f067aa0ba902b7-01",
            " 00-T-00f067aa0ba902b7-01",
        ] {
            let value = rest.replace('T', TRACE);
            assert_eq!(from(&value), None, "{value}");
        }
    }

    #[test]
    fn a_repeated_field_counts_as_none() {
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(request_id([&b"a"[..], b"a"].into_iter()), None);
        assert_eq!(trace_id([parent.as_bytes(); 2].into_iter()), None);
        assert_eq!(request_id([].into_iter()), None);
        assert_eq!(trace_id([].into_iter()), None);
    }
}
