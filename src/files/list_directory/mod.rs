//! What a directory without an index page is answered with: its entries as a page, or as JSON.
//!
//! Invariant: one `fill` reads one slice or writes a few KiB, so the largest directory neither stalls the loop nor stands
//! in memory as a page; a directory of one slice is read and written by the first call and has a Content-Length.

mod entries;
mod format;
mod html;
mod json;
mod order;
#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
mod reader;
mod text;

use std::os::fd::OwnedFd;
use std::{fmt, io, mem};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode};
use rustix::fs::Stat;

pub(crate) use self::format::Format;
pub(crate) use self::order::Order;

use self::entries::Sorted;
use self::reader::{Reader, SLICE};
use self::text::Dates;
use crate::files::identity::Identity;
use crate::wire::source::{Fill, Source};

/// Every byte that is not unreserved (RFC 3986 §2.3): with `:` among them no name can be taken for a URL with a scheme.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// How much one call writes of a listing that is longer than a slice.
const PIECE: usize = 16 * 1024;

/// Writes a name such that it is one segment of a path and nothing else, whatever its bytes are.
pub(crate) fn percent_encode(name: &[u8]) -> PercentEncode<'_> {
    percent_encoding::percent_encode(name, RESERVED)
}

/// Whether every byte of `name` means itself wherever it stands (RFC 3986 §2.3), as is so with most names.
fn is_plain(name: &[u8]) -> bool {
    const PLAIN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            table[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        table[b'-' as usize] = true;
        table[b'.' as usize] = true;
        table[b'_' as usize] = true;
        table[b'~' as usize] = true;
        table
    };
    name.iter().all(|byte| PLAIN[usize::from(*byte)])
}

/// What a listing shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ListingOptions {
    /// Whether names that begin with a dot are shown; `.well-known` always is.
    pub(crate) dotfiles: bool,
}

/// The body that lists one directory.
pub(crate) struct Listing {
    path: Vec<u8>,
    order: Order,
    format: Format,
    phase: Phase,
    listed: Option<Vec<(Vec<u8>, Identity)>>,
}

#[derive(Default)]
enum Phase {
    /// Nothing is written yet.
    Reading(Reader),
    /// All entries are known; these are still to be written, at most `piece` bytes or so in one call.
    Writing { rest: Sorted, piece: usize },
    #[default]
    Done,
}

impl Listing {
    /// Prepares the listing of `directory`, which was just opened and not read from.
    ///
    /// `path` leads from the root to it, decoded, without slashes at its ends. `follow` resolves a symbolic link, given by
    /// its path below the root, and fails where that is broken or leads outside.
    pub(crate) fn new(
        directory: OwnedFd,
        path: &[u8],
        order: Order,
        format: Format,
        options: ListingOptions,
        follow: impl Fn(&[u8]) -> io::Result<Stat> + 'static,
    ) -> Self {
        let reader = Reader::new(directory, path, order, options, Box::new(follow));
        Self {
            path: path.to_vec(),
            order,
            format,
            phase: Phase::Reading(reader),
            listed: None,
        }
    }

    /// Returns the names that were listed, and what they are, once all is read; `None` where they cannot be watched.
    pub(crate) fn listed(&self) -> Option<&[(Vec<u8>, Identity)]> {
        self.listed.as_deref()
    }

    fn read(&mut self, mut reader: Reader, out: &mut Vec<u8>) -> io::Result<Phase> {
        if reader.read_slice()? == Fill::More {
            return Ok(Phase::Reading(reader));
        }
        self.listed = reader.take_listed();
        let rest = reader.into_sorted();
        match self.format {
            Format::Html => html::begin(out, &self.path, self.order, &rest),
            Format::Json => json::begin(out),
        }
        let piece = if rest.len() <= SLICE {
            usize::MAX
        } else {
            PIECE
        };
        Ok(self.write(rest, piece, out))
    }

    fn write(&self, mut rest: Sorted, piece: usize, out: &mut Vec<u8>) -> Phase {
        let full = out.len().saturating_add(piece);
        let mut dates = Dates::new();
        while out.len() < full {
            let is_last = rest.len() == 1;
            let found = rest.pop(|entry| match self.format {
                Format::Html => html::row(out, &entry, &mut dates),
                Format::Json => json::row(out, &entry, is_last),
            });
            if !found {
                match self.format {
                    Format::Html => html::end(out),
                    Format::Json => json::end(out),
                }
                return Phase::Done;
            }
        }
        Phase::Writing { rest, piece }
    }
}

impl Source for Listing {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        self.phase = match mem::take(&mut self.phase) {
            Phase::Reading(reader) => self.read(reader, out)?,
            Phase::Writing { rest, piece } => self.write(rest, piece, out),
            Phase::Done => Phase::Done,
        };
        Ok(match self.phase {
            Phase::Done => Fill::Done,
            _ => Fill::More,
        })
    }
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listing")
            .field("path", &self.path.escape_ascii().to_string())
            .field("order", &self.order)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A directory of its own for one test.
    struct Site(PathBuf);

    impl Site {
        fn new() -> Self {
            static COUNT: AtomicUsize = AtomicUsize::new(0);
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("httpoll-listing-{}-{count}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn file(&self, name: impl AsRef<[u8]>, bytes: usize) {
            let path = self.0.join(OsStr::from_bytes(name.as_ref()));
            fs::write(path, vec![b'x'; bytes]).unwrap();
        }

        fn listing(&self, query: &str, format: Format, options: ListingOptions) -> Listing {
            let root = self.0.clone();
            let follow =
                move |path: &[u8]| Ok(rustix::fs::stat(root.join(OsStr::from_bytes(path)))?);
            let directory = fs::File::open(&self.0).unwrap().into();
            Listing::new(
                directory,
                b"",
                Order::from_query(query),
                format,
                options,
                follow,
            )
        }

        fn json(&self, query: &str) -> String {
            let pieces = pieces(self.listing(query, Format::Json, ListingOptions::default()));
            pieces.concat()
        }
    }

    impl Drop for Site {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn pieces(mut listing: Listing) -> Vec<String> {
        let mut pieces = Vec::new();
        loop {
            let mut out = Vec::new();
            let fill = listing.fill(&mut out).unwrap();
            pieces.push(String::from_utf8(out).unwrap());
            if fill == Fill::Done {
                return pieces;
            }
        }
    }

    /// The values of `"name"`, in the order of the array.
    fn names(json: &str) -> Vec<&str> {
        let parts = json.split("{\"name\":\"").skip(1);
        parts
            .map(|part| part.split_once("\",\"type\"").unwrap().0)
            .collect()
    }

    #[test]
    fn one_slice_is_done_at_once() {
        let site = Site::new();
        for number in 0..SLICE {
            site.file(format!("{number:0200}"), 0);
        }
        for format in [Format::Html, Format::Json] {
            let pieces = pieces(site.listing("", format, ListingOptions::default()));
            assert_eq!(pieces.len(), 1);
            assert!(pieces.concat().len() > SLICE * 200);
        }
    }

    #[test]
    fn many_slices_are_read_in_silence_then_written_in_pieces() {
        let site = Site::new();
        for number in 0..3000 {
            site.file(format!("{number:04}"), number % 7);
        }
        let parts = pieces(site.listing("", Format::Json, ListingOptions::default()));
        let silent = parts.iter().take_while(|part| part.is_empty()).count();
        assert!((2..=3000 / (SLICE + 1)).contains(&silent), "{silent}");
        assert!(parts.iter().skip(silent).all(|part| !part.is_empty()));
        assert!(parts.iter().all(|part| part.len() < PIECE + 1024));
        assert!(parts.len() > silent + 5);
        let expected: Vec<_> = (0..3000).map(|number| format!("{number:04}")).collect();
        let json = parts.concat();
        assert_eq!(names(&json), expected);
        assert_eq!(json.matches("},\n{").count(), 2999);
        assert!(json.starts_with("[{") && json.ends_with("}]\n"));
    }

    #[test]
    fn what_vanishes_while_it_is_read_is_left_out() {
        let site = Site::new();
        for number in 0..2000 {
            site.file(format!("{number}"), 0);
        }
        let mut listing = site.listing("", Format::Json, ListingOptions::default());
        assert_eq!(listing.fill(&mut Vec::new()).unwrap(), Fill::More);
        for number in 0..2000 {
            fs::remove_file(site.0.join(number.to_string())).unwrap();
        }
        let left = names(&pieces(listing).concat()).len();
        assert!((SLICE + 1..2000).contains(&left), "{left}");
    }

    #[test]
    fn the_same_directory_gives_the_same_pieces() {
        let site = Site::new();
        for number in 0..1500 {
            site.file(format!("{number}"), number);
        }
        let order = "sort=size&order=desc";
        let parts = || pieces(site.listing(order, Format::Html, ListingOptions::default()));
        assert_eq!(parts(), parts());
        assert!(parts().concat().contains("<p class=\"n\">1500 files</p>"));
    }

    #[test]
    fn any_name_but_nul_and_slash_is_listed() {
        let site = Site::new();
        let mut expected = 0;
        for byte in (1..=255_u8).filter(|&byte| byte != b'/') {
            site.file([b'x', byte, b'x'], 0);
            expected += 1;
        }
        let json = site.json("");
        assert_eq!(names(&json).len(), expected);
        assert!(json.contains("{\"name\":\"x\u{fffd}x\",\"type\":\"file\",\"size\":0,"));
        assert!(json.contains("\"href\":\"x%FFx\""));
        assert_eq!(
            json.matches("\"href\"").count(),
            128,
            "all others are UTF-8"
        );
        let html = pieces(site.listing("", Format::Html, ListingOptions::default())).concat();
        for byte in (1..=255_u8).filter(|byte| !byte.is_ascii_alphanumeric()) {
            let link = if b"-._~".contains(&byte) {
                format!("href=\"x{}x\"", char::from(byte))
            } else {
                format!("href=\"x%{byte:02X}x\"")
            };
            assert_eq!(html.contains(&link), byte != b'/', "{link}");
        }
    }

    #[test]
    fn dotfiles_are_shown_when_asked_for() {
        let site = Site::new();
        for name in [".well-known", ".git", ".well-known2", "..data", "a.b"] {
            site.file(name, 0);
        }
        assert_eq!(names(&site.json("")), [".well-known", "a.b"]);
        let all = site.listing("", Format::Json, ListingOptions { dotfiles: true });
        assert_eq!(names(&pieces(all).concat()).len(), 5);
    }

    #[test]
    fn links_are_what_they_lead_to() {
        let site = Site::new();
        site.file("z", 5);
        fs::create_dir(site.0.join("y")).unwrap();
        symlink("z", site.0.join("file")).unwrap();
        symlink("y", site.0.join("directory")).unwrap();
        symlink("nowhere", site.0.join("broken")).unwrap();
        let json = site.json("");
        assert_eq!(names(&json), ["directory", "y", "broken", "file", "z"]);
        assert!(json.contains("\"file\",\"type\":\"symlink\",\"size\":5,\"mtime\":1"));
        assert!(json.contains("\"broken\",\"type\":\"symlink\",\"size\":null,\"mtime\":null"));
        let html = pieces(site.listing("", Format::Html, ListingOptions::default())).concat();
        assert!(html.contains(
            "<a href=\"directory/\" title=\"Symbolic link\"><bdi>directory</bdi>/<i>@</i></a>"
        ));
        assert!(html.contains("<p class=\"n\">2 directories, 3 files</p>"));
    }

    #[test]
    fn a_link_is_followed_by_its_path_below_the_root() {
        let site = Site::new();
        symlink("nowhere", site.0.join("link")).unwrap();
        let asked = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let seen = asked.clone();
        let follow = move |path: &[u8]| {
            seen.borrow_mut().push(path.to_vec());
            Err(io::ErrorKind::NotFound.into())
        };
        let directory = fs::File::open(&site.0).unwrap().into();
        let order = Order::from_query("");
        let options = ListingOptions::default();
        pieces(Listing::new(
            directory,
            b"a/b",
            order,
            Format::Html,
            options,
            follow,
        ));
        assert_eq!(*asked.borrow(), [b"a/b/link"]);
    }

    #[test]
    fn nothing_is_an_empty_array_and_a_page_that_says_so() {
        let site = Site::new();
        assert_eq!(site.json(""), "[]\n");
        let html = pieces(site.listing("", Format::Html, ListingOptions::default())).concat();
        assert!(html.contains("This directory is empty."));
    }

    #[test]
    fn what_is_no_directory_is_an_error() {
        let site = Site::new();
        site.file("plain", 0);
        let file = fs::File::open(site.0.join("plain")).unwrap().into();
        let options = ListingOptions::default();
        let follow = |_: &[u8]| Err(io::ErrorKind::NotFound.into());
        let order = Order::from_query("");
        let mut listing = Listing::new(file, b"", order, Format::Html, options, follow);
        assert!(listing.fill(&mut Vec::new()).is_err());
    }
}
