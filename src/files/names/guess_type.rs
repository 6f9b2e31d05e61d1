//! The media type of a file: from the last suffix of its name, and where that does not tell, from its first bytes.
//!
//! Invariant: first bytes make a file `text/plain` and nothing more, so content alone is never run by a browser.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;

use super::media_types;
use crate::http::field::{FieldLines, FieldName, FieldValue};

/// The type of a file of which nothing is known.
pub(crate) const OCTET_STREAM: &str = "application/octet-stream";
/// The first bytes of a file, so many, are enough to tell text from other content.
pub(crate) const BEGINNING: usize = 512;

const GZIP: FieldValue<'static> = FieldValue::constant("gzip");

/// What is known of the type of a file without its content.
#[derive(Debug)]
pub(crate) struct FileType<'a> {
    /// The media type without a charset.
    pub(crate) media_type: Cow<'a, str>,
    /// Whether the file is `text/plain` if it [begins with text](begins_with_text).
    pub(crate) may_be_text: bool,
    /// Whether the file is of this type once it is decoded with gzip.
    is_gzip: bool,
}

impl<'a> FileType<'a> {
    /// The type that the owner of the handler gives to a file.
    pub(crate) fn given(media_type: impl Into<Cow<'a, str>>) -> Self {
        Self {
            media_type: media_type.into(),
            may_be_text: false,
            is_gzip: false,
        }
    }

    /// Returns this with another media type, for a file that may still be compressed itself.
    pub(crate) fn with_media_type(&self, media_type: String) -> FileType<'static> {
        FileType {
            is_gzip: self.is_gzip,
            ..FileType::given(media_type)
        }
    }

    /// Returns the media type of a file that begins with text, or does not.
    pub(crate) fn media_type(&self, is_text: bool) -> &str {
        match &*self.media_type {
            _ if is_text && self.may_be_text => "text/plain",
            media_type => media_type,
        }
    }

    /// Whether the file itself is compressed, and browsers decode it.
    pub(crate) fn is_gzip(&self) -> bool {
        self.is_gzip
    }

    /// Returns the fields of a file that begins with text, or does not: `Content-Type`, and `Content-Encoding` if it has one.
    ///
    /// # Errors
    /// The media type, which may come from the owner of the handler, is empty or has bytes that HTTP forbids.
    pub(crate) fn fields(&self, is_text: bool) -> io::Result<FieldLines> {
        let mut fields = content_type(self.media_type(is_text))?;
        if self.is_gzip {
            fields.push(FieldName::CONTENT_ENCODING, GZIP);
        }
        Ok(fields)
    }
}

/// Returns the type of a file called `path`: that of `extensions_map` (its keys begin with a dot; the suffix is looked up as
/// written, then in lower case), else the one that its suffix is known for, else `default`. Without a `default` the content decides.
pub(crate) fn guess_type<'a>(
    path: &str,
    extensions_map: &'a HashMap<String, String>,
    default: Option<&'a str>,
) -> FileType<'a> {
    let unknown = || FileType {
        may_be_text: default.is_none(),
        ..FileType::given(default.unwrap_or(OCTET_STREAM))
    };
    let Some(suffix) = suffix(path) else {
        return unknown();
    };
    if let Some(media_type) = mapped(suffix, extensions_map) {
        return FileType::given(media_type);
    }
    let suffix = suffix.to_ascii_lowercase();
    let known = || mime_guess::from_ext(&suffix).first_raw();
    // mime_guess has this type for suffixes of which it knows no other, also for text.
    let known = || known().filter(|media_type| *media_type != OCTET_STREAM);
    match media_types::of_suffix(&suffix).or_else(known) {
        Some(media_type) => FileType {
            media_type: media_type.into(),
            may_be_text: media_types::may_be_text(&suffix),
            // Browsers show such a picture only if they are told that it is compressed.
            is_gzip: suffix == "svgz",
        },
        None => unknown(),
    }
}

/// Returns the last suffix of the name at the end of `path`, without its dot. A dot at the start of a name begins no suffix.
fn suffix(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    let (stem, suffix) = name.rsplit_once('.')?;
    (!stem.trim_start_matches('.').is_empty()).then_some(suffix)
}

fn mapped<'a>(suffix: &str, extensions_map: &'a HashMap<String, String>) -> Option<&'a str> {
    if extensions_map.is_empty() {
        return None;
    }
    let key = format!(".{suffix}");
    let mapped = extensions_map
        .get(&key)
        .or_else(|| extensions_map.get(&key.to_lowercase()));
    mapped.map(String::as_str)
}

/// Returns whether `beginning`, the first [`BEGINNING`] bytes of a file or all of a shorter one, is UTF-8 without control characters
/// of ASCII, except those of lines and pages. An empty file is text: a browser then shows an empty page, and downloads nothing.
pub(crate) fn begins_with_text(beginning: &[u8]) -> bool {
    let beginning = beginning.get(..BEGINNING).unwrap_or(beginning);
    let is_utf8 = match str::from_utf8(beginning) {
        Ok(_) => true,
        // The last character may be cut.
        Err(error) => error.error_len().is_none() && beginning.len() == BEGINNING,
    };
    let is_control = |byte: &u8| byte.is_ascii_control() && !b"\t\n\r\x0c".contains(byte);
    is_utf8 && !beginning.iter().any(is_control)
}

/// Returns the charset that is added to `media_type`: browsers need one for text that has none. JSON is always UTF-8 (RFC 8259
/// §8.1). XML, and so SVG, is UTF-8 unless it declares another charset, which this one would override (RFC 7303 §3).
pub(crate) fn charset(media_type: &str) -> &'static str {
    let is_text = media_type.starts_with("text/") || media_type == "application/javascript";
    if is_text && media_type != "text/xml" && !media_type.contains("charset") {
        "; charset=utf-8"
    } else {
        ""
    }
}

/// Returns the Content-Type of a file with this `media_type`.
///
/// # Errors
/// It is empty, or has bytes that HTTP forbids.
fn content_type(media_type: &str) -> io::Result<FieldLines> {
    let value = [media_type, charset(media_type)].concat();
    match FieldValue::new(value.as_bytes()) {
        Ok(value) if !media_type.trim_ascii().is_empty() => {
            let mut line = FieldLines::default();
            line.push(FieldName::CONTENT_TYPE, value);
            Ok(line)
        }
        _ => Err(io::Error::other(format!("no media type: {media_type:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_suffix_decides() {
        let map = HashMap::from([(".foo".to_owned(), "text/x-foo".to_owned())]);
        let table = [
            ("index.html", "text/html"),
            ("a/b.HTML", "text/html"),
            ("a.tar.gz", "application/gzip"),
            ("a.js", "text/javascript"),
            ("a.json", "application/json"),
            ("clip.mp4", "video/mp4"),
            ("a.foo", "text/x-foo"),
            ("a.FOO", "text/x-foo"),
            ("a.unknown", OCTET_STREAM),
            ("README", OCTET_STREAM),
            (".html", OCTET_STREAM),
            ("dir.html/README", OCTET_STREAM),
            ("ends.", OCTET_STREAM),
        ];
        for (path, expected) in table {
            let guessed = guess_type(path, &map, None);
            assert_eq!(guessed.media_type, expected, "{path}");
        }
    }

    /// Returns the fields of a file called `name`, depending on whether it begins with text.
    fn fields(name: &str, default: Option<&str>, is_text: bool) -> String {
        let map = HashMap::from([(".own".to_owned(), OCTET_STREAM.to_owned())]);
        let fields = guess_type(name, &map, default).fields(is_text).unwrap();
        String::from_utf8(fields.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn content_decides_only_where_the_name_does_not() {
        let table = [
            ("README", None, true),
            ("a.unknown", None, true),
            // mime_guess knows this suffix as anything but text.
            ("setup.inf", None, true),
            ("go.mod", None, true),
            ("a.ts", None, true),
            ("README", Some("application/x-default"), false),
            ("README", Some(OCTET_STREAM), false),
            ("a.ts", Some("application/x-default"), true),
            ("a.own", None, false),
            ("a.bin", None, false),
            ("a.png", None, false),
        ];
        let text = "Content-Type: text/plain; charset=utf-8\r\n";
        for (name, default, is_decided) in table {
            let (of_text, of_other) = (fields(name, default, true), fields(name, default, false));
            assert_eq!(of_text == text, is_decided, "{name} {default:?}: {of_text}");
            assert_eq!(of_text != of_other, is_decided, "{name} {default:?}");
        }
        let video = "Content-Type: video/mp2t\r\n";
        assert_eq!(fields("a.ts", None, false), video);
    }

    #[test]
    fn a_compressed_picture_says_how_it_is_decoded() {
        let expected = "Content-Type: image/svg+xml\r\nContent-Encoding: gzip\r\n";
        for name in ["a.svgz", "a.SVGZ"] {
            assert_eq!(fields(name, None, false), expected);
        }
        let map = HashMap::from([(".svgz".to_owned(), "application/gzip".to_owned())]);
        let given = guess_type("a.svgz", &map, None).fields(false).unwrap();
        assert_eq!(given.as_bytes(), b"Content-Type: application/gzip\r\n");
        assert!(!fields("a.svg.gz", None, false).contains("Encoding"));
    }

    #[test]
    fn text_is_utf_8_without_control_characters() {
        let full = |end: &str| ["x".repeat(BEGINNING - 1).as_bytes(), end.as_bytes()].concat();
        let text = [
            &b""[..],
            b"#!/bin/sh\n",
            b"a\tb\r\n\x0c",
            "\u{feff}größer".as_bytes(),
            &full("é"),
            &full("🎉🎉"),
            &[full("xx"), vec![0]].concat(),
        ];
        for beginning in text {
            assert!(begins_with_text(beginning), "{}", beginning.escape_ascii());
        }
        let other = [
            &b"a\0"[..],
            b"\x1b[1m",
            b"\x7fELF",
            b"\x1f\x8b",
            b"gr\xf6\xdfer",
            b"ends in a character \xc3",
            b"\xff\xfea\0",
            b"\xfe\xff\0a",
            &[full("x"), vec![0]].concat()[1..],
            &[&full("")[..], b"\xff"].concat(),
        ];
        for beginning in other {
            assert!(!begins_with_text(beginning), "{}", beginning.escape_ascii());
        }
    }

    #[test]
    fn a_media_type_has_no_bytes_that_end_its_line() {
        let fields = |media_type| FileType::given(media_type).fields(true);
        assert_eq!(
            fields("text/html").unwrap().as_bytes(),
            b"Content-Type: text/html; charset=utf-8\r\n"
        );
        for allowed in ["x", "text/ö", "a/b;\tc=\"d\""] {
            assert!(fields(allowed).is_ok(), "{allowed:?}");
        }
        for refused in [
            "",
            " ",
            "\t",
            "a/b\r\nX: y",
            "a/b\n",
            "a/b\r",
            "a/b\0",
            "a/b\x7f",
            "\x1b[2J",
        ] {
            assert!(fields(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn only_text_that_declares_no_charset_gets_one() {
        let with = ["text/html", "text/javascript", "text/css", "text/csv"];
        for media_type in with {
            assert_eq!(charset(media_type), "; charset=utf-8", "{media_type}");
        }
        let without = [
            "text/plain; charset=latin-1",
            "text/xml",
            "image/svg+xml",
            "application/json",
            "image/png",
        ];
        for media_type in without {
            assert_eq!(charset(media_type), "", "{media_type}");
        }
    }
}
