//! Text from outside, such as a file name, a request line or a field, made safe to show.
//!
//! Invariant: no character of it acts on the terminal, editor or page that shows it. One list of such characters serves the
//! log, pages and JSON.

use super::page::put;

/// Returns whether a character changes how the text around it is shown: a control character (C0, DEL, C1), the end of a line
/// or paragraph, or a character that changes the direction of writing (`Bidi_Control` of Unicode).
pub(crate) fn acts_on_text(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Appends `text` as a JSON string (RFC 8259 §7), bytes that are not UTF-8 as U+FFFD. Returns whether all of it is UTF-8.
pub(crate) fn put_json_string(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let mut is_utf8 = true;
    put(out, &["\""]);
    if text.iter().all(|byte| is_plain_ascii(*byte)) {
        out.extend_from_slice(text);
    } else {
        for chunk in text.utf8_chunks() {
            put_json_escaped(out, chunk.valid());
            if !chunk.invalid().is_empty() {
                put(out, &["\u{fffd}"]);
                is_utf8 = false;
            }
        }
    }
    put(out, &["\""]);
    is_utf8
}

fn is_plain_ascii(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn put_json_escaped(out: &mut Vec<u8>, text: &str) {
    let mut rest = text;
    while let Some(length) = rest.find(|c| matches!(c, '"' | '\\') || acts_on_text(c)) {
        let (plain, special) = rest.split_at(length);
        let mut special = special.chars();
        put(out, &[plain]);
        match special.next() {
            Some('"') => put(out, &["\\\""]),
            Some('\\') => put(out, &["\\\\"]),
            Some('\n') => put(out, &["\\n"]),
            Some('\r') => put(out, &["\\r"]),
            Some('\t') => put(out, &["\\t"]),
            Some(c) => put_code(out, c.into()),
            None => {}
        }
        rest = special.as_str();
    }
    put(out, &[rest]);
}

/// Appends `\uXXXX`; nothing that acts on text needs more than four digits.
fn put_code(out: &mut Vec<u8>, code: u32) {
    put(out, &["\\u"]);
    for shift in [12, 8, 4, 0] {
        out.push(b"0123456789abcdef"[(code >> shift & 15) as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &[u8]) -> (String, bool) {
        let mut out = Vec::new();
        let is_utf8 = put_json_string(&mut out, text);
        (String::from_utf8(out).unwrap(), is_utf8)
    }

    #[test]
    fn controls_line_ends_and_changes_of_direction_act_on_text() {
        let acting: Vec<u32> = (0..=0x10_ffff)
            .filter(|code| char::from_u32(*code).is_some_and(acts_on_text))
            .collect();
        let expected: Vec<u32> = (0..=0x1f)
            .chain(0x7f..=0x9f)
            .chain([0x61c, 0x200e, 0x200f])
            .chain(0x2028..=0x202e)
            .chain(0x2066..=0x2069)
            .collect();
        assert_eq!(acting, expected);
    }

    #[test]
    fn json_escapes_quotes_backslashes_and_characters_that_act_on_text() {
        for (text, expected) in [
            ("", ""),
            ("plain <b>&'", "plain <b>&'"),
            ("say \"hi\" \\o/", r#"say \"hi\" \\o/"#),
            (
                "\n\r\t\u{8}\0\u{1b}\u{7f}",
                r"\n\r\t\u0008\u0000\u001b\u007f",
            ),
            ("\u{80}a\u{85}\u{9b}\u{a0}", "\\u0080a\\u0085\\u009b\u{a0}"),
            (
                "\u{61c}\u{200d}\u{200e}\u{200f}",
                "\\u061c\u{200d}\\u200e\\u200f",
            ),
            (
                "\u{2028}\u{2029}\u{202a}\u{202e}",
                r"\u2028\u2029\u202a\u202e",
            ),
            ("\u{2065}\u{2066}\u{2069}", "\u{2065}\\u2066\\u2069"),
            ("é עברית 🎉", "é עברית 🎉"),
        ] {
            let expected = (format!("\"{expected}\""), true);
            assert_eq!(json(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn json_strings_stay_json() {
        let text = "a\"b\\c\né\u{9b}\u{202e}".as_bytes();
        assert_eq!(
            json(&[text, b"\xff"].concat()),
            (
                "\"a\\\"b\\\\c\\né\\u009b\\u202e\u{fffd}\"".to_owned(),
                false
            )
        );
    }
}
