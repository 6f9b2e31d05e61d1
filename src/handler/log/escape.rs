//! What a client controls, made safe for a line of the common and the combined format.

/// Appends `text`, safe for logs and terminals: quotes, backslashes, control characters and bytes that are not ASCII are escaped.
pub(super) fn escape(line: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(plain) = rest.iter().position(|byte| !PLAIN[usize::from(*byte)]) {
        let (before, special) = rest.split_at(plain);
        line.extend_from_slice(before);
        if let [byte, behind @ ..] = special {
            match byte {
                b'"' | b'\\' => line.extend_from_slice(&[b'\\', *byte]),
                _ => line.extend_from_slice(&[b'\\', b'x', hex(byte >> 4), hex(byte & 15)]),
            }
            rest = behind;
        }
    }
    line.extend_from_slice(rest);
}

/// Appends `text` as [`escape`] does, as one word: blanks are escaped, too.
pub(super) fn escape_word(line: &mut Vec<u8>, text: &[u8]) {
    for (index, part) in text.split(|byte| *byte == b' ').enumerate() {
        if index > 0 {
            line.extend_from_slice(br"\x20");
        }
        escape(line, part);
    }
}

/// The bytes that need no escape.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0x20;
    while byte <= 0x7e {
        table[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    table
};

fn hex(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + nibble - 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &[u8]) -> String {
        let mut line = Vec::new();
        escape(&mut line, text);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn a_word_has_no_blank() {
        let mut line = Vec::new();
        escape_word(&mut line, b" a\tb  \"c");
        assert_eq!(
            line.escape_ascii().to_string(),
            r#"\\x20a\\x09b\\x20\\x20\\\"c"#
        );
    }

    #[test]
    fn quotes_controls_and_bytes_beyond_ascii_are_escaped() {
        let table: [(&[u8], &str); 4] = [
            (b"GET / HTTP/1.1", "GET / HTTP/1.1"),
            (b"\"\\", r#"\"\\"#),
            (b"\x1b[2J\r\n\x7f\0", r"\x1b[2J\x0d\x0a\x7f\x00"),
            ("é".as_bytes(), r"\xc3\xa9"),
        ];
        for (raw, expected) in table {
            assert_eq!(escaped(raw), expected);
        }
    }
}
