//! The bytes of tokens, field values and hosts (RFC 9110 §5.5, §5.6.2 and §7.2). Tables keep the checks fast, because every
//! request has many such bytes.

const SYMBOLS: &[u8] = b"!#$%&'*+-.^_`|~";
const HOST_SYMBOLS: &[u8] = b"-._~%!$&'()*+,;=";
/// The symbols between the brackets of an IPv6 literal.
const LITERAL_SYMBOLS: &[u8] = b"-._~%!$&'()*+,;=:";

const TOKEN: [bool; 256] = table(SYMBOLS);
const HOST: [bool; 256] = table(HOST_SYMBOLS);
const LITERAL: [bool; 256] = table(LITERAL_SYMBOLS);

const fn table(symbols: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut index = 0;
    while index < symbols.len() {
        table[symbols[index] as usize] = true;
        index += 1;
    }
    table
}

/// Returns whether `byte` is a `tchar`.
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Returns whether the bytes are a `token`, such as a method or a field name.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

/// Returns whether a field value or a quoted-string may contain `byte`: no control byte except the tab (RFC 9110 §5.5, §5.6.4).
pub(crate) const fn is_value_byte(byte: u8) -> bool {
    !byte.is_ascii_control() || byte == b'\t'
}

/// Returns whether the bytes are `uri-host [":" port]`. The host may be empty; [`names_host`] tells whether it is.
pub(crate) fn is_host(bytes: &[u8]) -> bool {
    let rest = match bytes.strip_prefix(b"[") {
        Some(literal) => match skip(literal, &LITERAL) {
            [b']', rest @ ..] if !literal.starts_with(b"]") => rest,
            _ => return false,
        },
        None => skip(bytes, &HOST),
    };
    match rest {
        [] => true,
        [b':', port @ ..] => port.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// Returns whether bytes for which [`is_host`] is true have a host that is not empty: an http URI without a host is invalid
/// (RFC 9110 §4.2.1).
pub(crate) fn names_host(bytes: &[u8]) -> bool {
    !matches!(bytes, [] | [b':', ..])
}

/// Skips the bytes at the front that are in `table`.
fn skip<'b>(bytes: &'b [u8], table: &[bool; 256]) -> &'b [u8] {
    let mut rest = bytes;
    while let [first, others @ ..] = rest
        && table[usize::from(*first)]
    {
        rest = others;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_hosts_are_recognised() {
        for byte in 0..=255_u8 {
            let plain = byte.is_ascii_alphanumeric();
            assert_eq!(
                is_token(&[byte]),
                plain || SYMBOLS.contains(&byte),
                "{byte}"
            );
        }
        for host in [
            "",
            "a",
            "a.b:80",
            "a:",
            "127.0.0.1:8000",
            "[::1]",
            "[::1]:80",
            "a%20b",
            "x_y",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "a b", "a/b", "[::1", "[::1]80", "[::1]:8x", "a:80:80", "a:x", "::1", "a@b", "a]",
            "[]", "[]:80",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
        for (host, named) in [
            ("", false),
            (":", false),
            (":80", false),
            ("a", true),
            ("a:", true),
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
            assert_eq!(names_host(host.as_bytes()), named, "{host}");
        }
        assert!(!is_token(b"") && is_host(b""));
    }
}
