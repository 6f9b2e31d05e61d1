//! A listing as JSON: an array (RFC 8259) of `{name, type, size, mtime}`.
//!
//! Invariant: the text is UTF-8, and nothing in a name acts on the text around it. A name that is not UTF-8 is written with
//! replacement characters; only then the entry also has an `href`, which leads to the file.

use super::entries::{Entry, EntryKind};
use crate::files::names::percent_encode::percent_encode;
use crate::handler::page::put;
use crate::handler::text::put_json_string;
use crate::http::decimal::push_decimal;

/// Writes everything before the first entry.
pub(super) fn begin(out: &mut Vec<u8>) {
    put(out, &["["]);
}

/// Writes one entry.
pub(super) fn row(out: &mut Vec<u8>, entry: &Entry<'_>, is_last: bool) {
    put(out, &["{\"name\":"]);
    let is_utf8 = put_json_string(out, entry.name);
    put(out, &[",\"type\":\"", type_of(entry), "\",\"size\":"]);
    match entry.size {
        Some(size) => push_decimal(out, size),
        None => put(out, &["null"]),
    }
    put(out, &[",\"mtime\":"]);
    match entry.mtime {
        Some(mtime) => put_signed(out, mtime),
        None => put(out, &["null"]),
    }
    if !is_utf8 {
        put(out, &[",\"href\":\""]);
        out.extend(percent_encode(entry.name).flat_map(str::bytes));
        put(out, &["\""]);
    }
    put(out, &[if is_last { "}" } else { "},\n" }]);
}

/// Writes everything after the last entry.
pub(super) fn end(out: &mut Vec<u8>) {
    put(out, &["]\n"]);
}

fn type_of(entry: &Entry<'_>) -> &'static str {
    match (entry.is_link, entry.kind) {
        (true, _) => "symlink",
        (false, EntryKind::Directory) => "directory",
        (false, EntryKind::File) => "file",
        (false, EntryKind::Other) => "other",
    }
}

fn put_signed(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        put(out, &["-"]);
    }
    push_decimal(out, number.unsigned_abs());
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
            kind: EntryKind::File,
            is_link: false,
            size: Some(1),
            mtime: Some(2),
        };
        written(&entry)
    }

    #[test]
    fn every_name_is_a_string() {
        let cases: [(&[u8], &str); 10] = [
            (b"plain.txt", "plain.txt"),
            (b"say \"hi\"", "say \\\"hi\\\""),
            (b"back\\slash", "back\\\\slash"),
            (b"<b>&'", "<b>&'"),
            (b"100%#?:", "100%#?:"),
            (b"a\nb\rc\td", "a\\nb\\rc\\td"),
            (b"\x01\x1b\x7f", "\\u0001\\u001b\\u007f"),
            ("é🎉".as_bytes(), "é🎉"),
            ("\u{9b}31m\u{202e}".as_bytes(), "\\u009b31m\\u202e"),
            ("\u{fffd}".as_bytes(), "\u{fffd}"),
        ];
        for (name, json) in cases {
            let expected =
                format!("{{\"name\":\"{json}\",\"type\":\"file\",\"size\":1,\"mtime\":2}}");
            assert_eq!(named(name), expected);
        }
    }

    #[test]
    fn a_name_that_is_not_utf_8_has_a_link() {
        let expected = "{\"name\":\"caf\u{fffd} \\\"\",\"type\":\"file\",\"size\":1,\"mtime\":2,\
                        \"href\":\"caf%E9%20%22\"}";
        assert_eq!(named(b"caf\xe9 \""), expected);
    }

    #[test]
    fn what_is_unknown_is_null() {
        let cases = [
            (false, EntryKind::Directory, "directory"),
            (false, EntryKind::Other, "other"),
            (true, EntryKind::Directory, "symlink"),
            (true, EntryKind::Other, "symlink"),
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
            kind: EntryKind::File,
            is_link: false,
            size: Some(0),
            mtime: Some(-1),
        };
        assert!(written(&ancient).contains("\"mtime\":-1}"));
    }

    #[test]
    fn each_entry_is_on_a_line_of_its_own() {
        let entry = Entry {
            name: b"n",
            kind: EntryKind::File,
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
