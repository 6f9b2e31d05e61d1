//! The README of a directory, which the page of a listing shows below the entries.
//!
//! Invariant: the file is opened as it would be to be served, and is shown as text. Nothing in it acts as markup, as a command to a
//! terminal, or on the direction of writing, and no program takes an address in it for a link of the page.

use std::io;

use rustix::fs::{FileType, fstat};
use rustix::io::Errno;

use super::entries::{Entry, EntryKind};
use crate::files::look_up::is_missing;
use crate::files::names::open::Opened;
use crate::files::representation::{Content, MAX_IN_MEMORY, MayWait};
use crate::handler::page::{put, put_escaped};
use crate::handler::text::acts_on_text;

/// The names of a README. The first one that is there, and has text, is shown.
const NAMES: [&str; 4] = ["README.md", "README.txt", "README", "readme.md"];

/// Bytes of text that are written at once. Each becomes at most six bytes.
const PART: usize = 400;

/// Reads the file at a path below the root; `None` if there is none that is to be shown.
///
/// # Errors
/// It cannot be read now.
pub(super) type ReadFile = Box<dyn Fn(&[u8]) -> io::Result<Option<Vec<u8>>> + Send>;

/// A README that has text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Readme {
    name: &'static str,
    text: String,
}

/// Which names of a README a directory has, for regular files that are small enough.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReadmeNames([bool; NAMES.len()]);

impl ReadmeNames {
    /// Notes the name of `entry` if it is one of a README.
    pub(super) fn note(&mut self, entry: &Entry<'_>) {
        let is_small = entry.size.is_some_and(|size| size <= MAX_IN_MEMORY);
        if entry.kind == EntryKind::File && is_small {
            let known = NAMES.iter().zip(&mut self.0);
            let found = known.filter(|(name, _)| name.as_bytes() == entry.name);
            found.for_each(|(_, is_there)| *is_there = true);
        }
    }

    /// Reads the first README that has text; `prefix` is the path of the directory with a slash at its end.
    ///
    /// # Errors
    /// A file cannot be read now.
    pub(super) fn read(self, prefix: &[u8], read: &ReadFile) -> io::Result<Option<Readme>> {
        let names = NAMES.into_iter().zip(self.0);
        for (name, _) in names.filter(|(_, is_there)| *is_there) {
            let content = read(&[prefix, name.as_bytes()].concat())?;
            if let Some(readme) = content.and_then(|content| Readme::new(name, content)) {
                return Ok(Some(readme));
            }
        }
        Ok(None)
    }
}

/// Reads a file that was `opened`, if it is a small regular one.
///
/// # Errors
/// It cannot be read now: reading might wait, and must not, or no descriptor is left.
pub(super) fn read_opened(opened: Opened, may_wait: MayWait) -> io::Result<Option<Vec<u8>>> {
    let file = match opened.found {
        Ok(file) => file,
        Err(errno) if is_missing(errno) || matches!(errno, Errno::ACCESS | Errno::PERM) => {
            return Ok(None);
        }
        Err(errno) => return Err(errno.into()),
    };
    let stat = fstat(&file)?;
    let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    match Content::read(&file.into(), size, MAX_IN_MEMORY, may_wait)? {
        Content::InMemory(content) => Ok(Some(content)),
        Content::Cold(_) => Err(io::ErrorKind::WouldBlock.into()),
        Content::InFile(_) | Content::Unknown => Ok(None),
    }
}

impl Readme {
    /// `None` if `content` is not text in UTF-8, or is blank.
    fn new(name: &'static str, content: Vec<u8>) -> Option<Self> {
        let text = String::from_utf8(content).ok()?;
        let text = text.trim_start_matches('\u{feff}').trim_end();
        let is_text = !text.is_empty() && !text.contains('\0');
        is_text.then(|| Self {
            name,
            text: text.replace("\r\n", "\n"),
        })
    }

    /// Returns the length of its text, in bytes.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Writes the text as markup, beginning with byte `from`, until `out` has `full` bytes. Returns where the rest begins; `None`
    /// after the end.
    pub(super) fn write(&self, out: &mut Vec<u8>, from: usize, full: usize) -> Option<usize> {
        if out.len() >= full {
            return Some(from);
        }
        if from == 0 {
            // Browsers drop a line end behind `<pre>`: this one, so that they show one at the beginning of the text.
            put(out, &["<h2>", self.name, "</h2>\n<pre>\n"]);
        }
        let mut rest = self.text.get(from..).unwrap_or_default();
        while !rest.is_empty() {
            if out.len() >= full {
                return Some(self.text.len() - rest.len());
            }
            let end = (0..=PART.min(rest.len())).rfind(|end| rest.is_char_boundary(*end));
            let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
            put_text(out, part);
            rest = after;
        }
        put(out, &["</pre>\n"]);
        None
    }
}

/// Appends `text` as markup. fsspec takes all that begins with `http://` for a link, wherever it is, so colons are escaped as well.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let is_special = |c: char| c == ':' || (acts_on_text(c) && !matches!(c, '\n' | '\t'));
    for piece in text.split_inclusive(is_special) {
        match piece.char_indices().next_back() {
            Some((end, last)) if is_special(last) => {
                put_escaped(out, piece.get(..end).unwrap_or_default());
                put(out, &[if last == ':' { "&#58;" } else { "\u{fffd}" }]);
            }
            _ => put_escaped(out, piece),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::files::listing::entries::tests::file;

    fn readme(content: &[u8]) -> Option<Readme> {
        Readme::new("README", content.to_vec())
    }

    fn written(text: &str) -> String {
        let mut out = Vec::new();
        let readme = readme(text.as_bytes()).unwrap();
        assert_eq!(readme.write(&mut out, 0, usize::MAX), None);
        let page = String::from_utf8(out).unwrap();
        let inside = page.strip_prefix("<h2>README</h2>\n<pre>\n").unwrap();
        inside.strip_suffix("</pre>\n").unwrap().to_owned()
    }

    fn named(names: &[&str]) -> ReadmeNames {
        let mut found = ReadmeNames::default();
        names
            .iter()
            .for_each(|name| found.note(&file(name, Some(1), None)));
        found
    }

    fn reads(names: &[&str], content: fn(&[u8]) -> Option<Vec<u8>>) -> Option<&'static str> {
        let read: ReadFile = Box::new(move |path| Ok(content(path)));
        let readme = named(names).read(b"a/", &read).unwrap();
        readme.map(|readme| readme.name)
    }

    #[test]
    fn the_first_readme_with_text_is_shown() {
        let text = |_: &[u8]| Some(b"text".to_vec());
        let all = ["README", "readme.md", "README.txt", "README.md"];
        assert_eq!(reads(&all, text), Some("README.md"));
        assert_eq!(reads(&all[..3], text), Some("README.txt"));
        assert_eq!(reads(&all[..2], text), Some("README"));
        assert_eq!(reads(&all[1..2], text), Some("readme.md"));
        let others = [
            "Readme.md",
            ".README.md",
            "README.html",
            "readme",
            "README.md~",
            "",
        ];
        assert_eq!(reads(&others, text), None);
        assert_eq!(
            reads(&all, |path| path.ends_with(b"txt").then(|| vec![b'x'])),
            Some("README.txt")
        );
        assert_eq!(
            reads(&all, |path| Some(vec![u8::from(path == b"a/README")])),
            Some("README")
        );
        assert_eq!(reads(&all, |_| None), None);
    }

    #[test]
    fn only_small_regular_files_are_read() {
        let plain = file("README", Some(MAX_IN_MEMORY), None);
        let others = [
            Entry {
                size: Some(MAX_IN_MEMORY + 1),
                ..plain
            },
            Entry {
                size: None,
                ..plain
            },
            Entry {
                kind: EntryKind::Directory,
                ..plain
            },
            Entry {
                kind: EntryKind::Other,
                ..plain
            },
        ];
        let noted = |entry| {
            let mut names = ReadmeNames::default();
            names.note(&entry);
            names.0.contains(&true)
        };
        assert!(noted(plain));
        assert!(others.into_iter().all(|entry| !noted(entry)));
    }

    #[test]
    fn a_file_that_cannot_be_read_now_is_an_error() {
        let read: ReadFile = Box::new(|_| Err(io::ErrorKind::WouldBlock.into()));
        assert!(named(&["README"]).read(b"", &read).is_err());
        assert_eq!(named(&["other"]).read(b"", &read).unwrap(), None);
    }

    #[test]
    fn what_is_not_text_is_not_shown() {
        for content in [
            b"".as_slice(),
            b" \n\t\n",
            b"\xef\xbb\xbf",
            b"a\0b",
            b"\xff",
            b"\x89PNG\r\n",
        ] {
            assert_eq!(readme(content), None, "{content:?}");
        }
        assert!(readme("é".as_bytes()).is_some());
    }

    #[test]
    fn text_has_no_effect_on_what_is_around_it() {
        let cases = [
            (
                "</pre><script>alert(1)</script>",
                "&lt;/pre&gt;&lt;script&gt;alert(1)&lt;/script&gt;",
            ),
            ("\u{feff}a\r\n\tb\n\nc\n\n", "a\n\tb\n\nc"),
            (
                "a\rb\x1b[31mc\u{9b}m\u{202e}d\u{2028}e",
                "a\u{fffd}b\u{fffd}[31mc\u{fffd}m\u{fffd}d\u{fffd}e",
            ),
            ("&lt; \"'", "&amp;lt; &quot;&#39;"),
            ("http://a/", "http&#58;//a/"),
            ("\n  a", "\n  a"),
        ];
        for (text, markup) in cases {
            assert_eq!(written(text), markup, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn text_is_written_whole_in_parts_that_are_not_too_long(text in "[a:\"<é🎉\u{202e}\n]{1,500}x") {
            let readme = readme(text.as_bytes()).unwrap();
            let (mut whole, mut parts) = (Vec::new(), Vec::new());
            prop_assert_eq!(readme.write(&mut whole, 0, usize::MAX), None);
            let mut next = Some(0);
            while let Some(from) = next {
                let mut out = Vec::new();
                next = readme.write(&mut out, from, 300);
                prop_assert!(out.len() < 300 + 6 * PART + 10);
                parts.extend(out);
            }
            prop_assert_eq!(parts, whole);
        }
    }
}
