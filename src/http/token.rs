//! The bytes of tokens and hosts (RFC 9110 §5.6.2 and §7.2), by table: every request is full of them.

const SYMBOLS: &[u8] = b"!#$%&'*+-.^_`|~";
const HOST_SYMBOLS: &[u8] = b"-._~%!$&'()*+,;=";

const TOKEN: [bool; 256] = table(SYMBOLS);
const HOST: [bool; 256] = table(HOST_SYMBOLS);

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

/// `tchar`.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// `token`: a method, a field name.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

/// Whether a field may have this value: no controls but the tab (RFC 9110 §5.5).
pub(crate) fn is_field_value(bytes: &[u8]) -> bool {
    !bytes
        .iter()
        .any(|byte| byte.is_ascii_control() && *byte != b'\t')
}

/// Whether the bytes are `uri-host [":" port]`; an empty Host is allowed.
pub(crate) fn is_host(bytes: &[u8]) -> bool {
    let position = |bytes: &[u8], wanted| bytes.iter().position(|byte| *byte == wanted);
    let (host, port, is_literal) = match bytes.strip_prefix(b"[") {
        Some(literal) => match position(literal, b']') {
            Some(end) => (literal.get(..end), literal.get(end + 1..), true),
            None => return false,
        },
        None => {
            let end = position(bytes, b':').unwrap_or(bytes.len());
            (bytes.get(..end), bytes.get(end..), false)
        }
    };
    let is_allowed = |byte: &u8| HOST[usize::from(*byte)] || (is_literal && *byte == b':');
    let port = port.unwrap_or_default();
    let digits = port.strip_prefix(b":").unwrap_or(port);
    (port.is_empty() || port.len() > digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && host.unwrap_or_default().iter().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_hosts_are_made_of_their_bytes() {
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
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
        assert!(!is_token(b"") && is_host(b""));
        assert!(is_field_value(b"a\tb\xff") && !is_field_value(b"a\rb"));
    }
}
