//! The bytes of tokens and hosts (RFC 9110 §5.6.2 and §7.2), by table: every request is full of them.

const SYMBOLS: &[u8] = b"!#$%&'*+-.^_`|~";
const HOST_SYMBOLS: &[u8] = b"-._~%!$&'()*+,;=:[]";

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

/// Whether the bytes may stand in `uri-host [":" port]`; an empty Host is allowed.
pub(crate) fn is_host(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| HOST[usize::from(*byte)])
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
            assert_eq!(
                is_host(&[byte]),
                plain || HOST_SYMBOLS.contains(&byte),
                "{byte}"
            );
        }
        assert!(!is_token(b"") && is_host(b""));
        assert!(is_field_value(b"a\tb\xff") && !is_field_value(b"a\rb"));
    }
}
