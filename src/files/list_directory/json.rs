//! A listing for programs: a JSON array (RFC 8259) of `{name, type, size, mtime}`.
//!
//! Invariant: what is written is UTF-8. A name that is none is written with replacement characters, and only then the
//! entry has an `href` too, which still leads to the file.

use super::entries::{Entry, Kind};
use super::percent_encode;
use crate::handler::page::put;

/// Writes everything before the first entry.
pub(super) fn begin(out: &mut Vec<u8>) {
    put(out, "[");
}

/// Writes one entry.
pub(super) fn row(out: &mut Vec<u8>, entry: &Entry<'_>, is_last: bool) {
    let name = String::from_utf8_lossy(entry.name);
    put(out, "{\"name\":\"");
    put_escaped(out, &name);
    put(
        out,
        format_args!("\",\"type\":\"{}\",\"size\":", type_of(entry)),
    );
    put_number(out, entry.size);
    put(out, ",\"mtime\":");
    put_number(out, entry.mtime);
    if name.as_bytes() != entry.name {
        let href = percent_encode(entry.name);
        put(out, format_args!(",\"href\":\"{href}\""));
    }
    put(out, if is_last { "}" } else { "},\n" });
}

/// Writes everything after the last entry.
pub(super) fn end(out: &mut Vec<u8>) {
    put(out, "]\n");
}

fn type_of(entry: &Entry<'_>) -> &'static str {
    match (entry.is_link, entry.kind) {
        (true, _) => "symlink",
        (false, Kind::Directory) => "directory",
        (false, Kind::File) => "file",
        (false, Kind::Other) => "other",
    }
}

fn put_number(out: &mut Vec<u8>, number: Option<impl std::fmt::Display>) {
    match number {
        Some(number) => put(out, number),
        None => put(out, "null"),
    }
}

/// Writes the inside of a string (RFC 8259 §7).
fn put_escaped(out: &mut Vec<u8>, text: &str) {
    for &byte in text.as_bytes() {
        match byte {
            b'"' => put(out, "\\\""),
            b'\\' => put(out, "\\\\"),
            b'\n' => put(out, "\\n"),
            b'\r' => put(out, "\\r"),
            b'\t' => put(out, "\\t"),
            0..=0x1f | 0x7f => put(out, format_args!("\\u{byte:04x}")),
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(entry: &Entry<'_>) -> String {
        let mut out = Vec::new();
        row(&mut out, entry, true);
        String::from_utf8(out).unwrap()
    }

    fn named(name: &[u8]) -> String {
        let entry = Entry {
            name,
            kind: Kind::File,
            is_link: false,
            size: Some(1),
            mtime: Some(2),
        };
        written(&entry)
    }

    #[test]
    fn every_name_is_a_string() {
        let cases: [(&[u8], &str); 9] = [
            (b"plain.txt", "plain.txt"),
            (b"say \"hi\"", "say \\\"hi\\\""),
            (b"back\\slash", "back\\\\slash"),
            (b"<b>&'", "<b>&'"),
            (b"100%#?:", "100%#?:"),
            (b"a\nb\rc\td", "a\\nb\\rc\\td"),
            (b"\x01\x1b\x7f", "\\u0001\\u001b\\u007f"),
            ("é🎉".as_bytes(), "é🎉"),
            ("\u{fffd}".as_bytes(), "\u{fffd}"),
        ];
        for (name, json) in cases {
            let expected =
                format!("{{\"name\":\"{json}\",\"type\":\"file\",\"size\":1,\"mtime\":2}}");
            assert_eq!(named(name), expected);
        }
    }

    #[test]
    fn a_name_that_is_no_utf_8_has_a_link() {
        let expected = "{\"name\":\"caf\u{fffd} \\\"\",\"type\":\"file\",\"size\":1,\"mtime\":2,\
                        \"href\":\"caf%E9%20%22\"}";
        assert_eq!(named(b"caf\xe9 \""), expected);
    }

    #[test]
    fn what_is_unknown_is_null() {
        let cases = [
            (false, Kind::Directory, "directory"),
            (false, Kind::Other, "other"),
            (true, Kind::Directory, "symlink"),
            (true, Kind::Other, "symlink"),
        ];
        for (is_link, kind, word) in cases {
            let entry = Entry {
                name: b"n",
                kind,
                is_link,
                size: None,
                mtime: None,
            };
            let expected =
                format!("{{\"name\":\"n\",\"type\":\"{word}\",\"size\":null,\"mtime\":null}}");
            assert_eq!(written(&entry), expected);
        }
        let ancient = Entry {
            name: b"n",
            kind: Kind::File,
            is_link: false,
            size: Some(0),
            mtime: Some(-1),
        };
        assert!(written(&ancient).contains("\"mtime\":-1}"));
    }

    #[test]
    fn entries_stand_one_a_line() {
        let entry = Entry {
            name: b"n",
            kind: Kind::File,
            is_link: false,
            size: None,
            mtime: None,
        };
        let mut out = Vec::new();
        begin(&mut out);
        row(&mut out, &entry, false);
        row(&mut out, &entry, true);
        end(&mut out);
        let one = written(&entry);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!("[{one},\n{one}]\n")
        );
    }
}
