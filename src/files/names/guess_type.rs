//! The media type of a file, from the last suffix of its name.

use std::collections::HashMap;
use std::io;

use crate::http::field::{FieldLines, FieldName, FieldValue};

/// Returns the last suffix of the name at the end of `path`, without its dot. A dot at the start of a name begins no suffix.
fn suffix(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next()?;
    let (stem, suffix) = name.rsplit_once('.')?;
    (!stem.trim_start_matches('.').is_empty()).then_some(suffix)
}

/// Returns the media type of `path`: that of `extensions_map` (its keys begin with a dot; the suffix is looked up as written,
/// then in lower case), else that of mime_guess, else `default`.
pub(crate) fn guess_type<'a>(
    path: &str,
    extensions_map: &'a HashMap<String, String>,
    default: &'a str,
) -> &'a str {
    let Some(suffix) = suffix(path) else {
        return default;
    };
    if !extensions_map.is_empty() {
        let key = format!(".{suffix}");
        let lower = || key.chars().flat_map(char::to_lowercase).collect::<String>();
        let mapped = extensions_map
            .get(&key)
            .or_else(|| extensions_map.get(&lower()));
        if let Some(media_type) = mapped {
            return media_type;
        }
    }
    mime_guess::from_ext(suffix).first_raw().unwrap_or(default)
}

/// Returns the charset that is added to `media_type`: browsers need one for text that has none.
pub(crate) fn charset(media_type: &str) -> &'static str {
    let is_text = media_type.starts_with("text/") || media_type == "application/javascript";
    if is_text && !media_type.contains("charset") {
        "; charset=utf-8"
    } else {
        ""
    }
}

/// Returns the Content-Type of a file with this `media_type`, which may come from the owner of the handler.
///
/// # Errors
/// It is empty, or has bytes that HTTP forbids.
pub(crate) fn content_type(media_type: &str) -> io::Result<FieldLines> {
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
            ("a.unknown", "application/octet-stream"),
            ("README", "application/octet-stream"),
            (".html", "application/octet-stream"),
            ("dir.html/README", "application/octet-stream"),
            ("ends.", "application/octet-stream"),
        ];
        for (path, expected) in table {
            assert_eq!(
                guess_type(path, &map, "application/octet-stream"),
                expected,
                "{path}"
            );
        }
    }

    #[test]
    fn a_media_type_has_no_bytes_that_end_its_line() {
        let line = content_type("text/plain").unwrap();
        assert_eq!(
            line.as_bytes(),
            b"Content-Type: text/plain; charset=utf-8\r\n"
        );
        for allowed in ["x", "text/ö", "a/b;\tc=\"d\""] {
            assert!(content_type(allowed).is_ok(), "{allowed:?}");
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
            assert!(content_type(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn only_text_without_a_charset_gets_one() {
        assert_eq!(charset("text/html"), "; charset=utf-8");
        assert_eq!(charset("text/plain; charset=latin-1"), "");
        assert_eq!(charset("image/png"), "");
    }
}
