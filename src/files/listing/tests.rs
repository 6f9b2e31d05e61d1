//! Listings of real directories, from the first name to the last row.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::format::Format;
use super::order::Order;
use super::reading::Known;
use super::*;
use crate::handler::listing_memory::ListingMemory;
use crate::wire::source::{Fill, Source};

mod sharing;

const PLAIN: bool = false;
const WITH_DOTFILES: bool = true;
const KEY: &[u8] = b"the only one";

/// A directory for one test, and what its listings share.
struct Site {
    path: PathBuf,
    memory: Arc<ListingMemory>,
    readings: Readings,
}

impl Site {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("httpoll-listing-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self {
            path,
            memory: ListingMemory::new(usize::MAX),
            readings: Readings::default(),
        }
    }

    /// Makes a site with this number of files.
    fn of(count: usize) -> Self {
        let site = Self::new();
        (0..count).for_each(|number| site.file(format!("{number:04}"), number % 7));
        site
    }

    fn file(&self, name: impl AsRef<[u8]>, bytes: usize) {
        let path = self.path.join(OsStr::from_bytes(name.as_ref()));
        fs::write(path, vec![b'x'; bytes]).unwrap();
    }

    fn reader(&self, dotfiles: bool) -> Reader {
        let root = self.path.clone();
        let follow = move |path: &[u8]| Ok(rustix::fs::stat(root.join(OsStr::from_bytes(path)))?);
        let directory = OwnedFd::from(fs::File::open(&self.path).unwrap());
        Reader::new(directory, b"", dotfiles, follow)
    }

    /// Opens the directory to read it after the reading that is `known`.
    fn after(&self, known: &Known, query: &str, dotfiles: bool) -> Reading {
        let order = Order::from_query(query);
        let reader = self.reader(dotfiles);
        Reading::new(reader, order, &self.memory, known)
    }

    /// Returns the reading that a new request gets.
    fn ask(&mut self) -> Arc<Reading> {
        let known = self.readings.known(KEY);
        let current = known.reading.upgrade();
        if let Some(reading) = current.filter(|reading| reading.is_later_than(0)) {
            return reading;
        }
        let reading = Arc::new(self.after(&known, "", PLAIN));
        self.readings.insert(KEY, &reading);
        reading
    }

    fn list(&self, query: &str, format: Format, dotfiles: bool) -> Vec<String> {
        let reading = Arc::new(self.after(&Known::default(), query, dotfiles));
        finish(&reading);
        self.pieces(&reading, query, format)
    }

    fn pieces(&self, reading: &Arc<Reading>, query: &str, format: Format) -> Vec<String> {
        let form = form(query, format);
        let entries = reading.entries().unwrap();
        if entries.len() <= SLICE {
            let page = form.page_of(&entries, reading.readme().as_deref());
            return vec![String::from_utf8(page.content).unwrap()];
        }
        pieces(Listing::new(form, entries, reading.readme(), &self.memory).unwrap())
    }

    fn json(&self, query: &str) -> String {
        self.list(query, Format::Json, PLAIN).concat()
    }

    /// Returns whether all memory was given back.
    fn is_idle(&self) -> bool {
        self.memory.used() == 0 && self.readings.known(KEY).is_nothing()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.path).unwrap();
    }
}

fn form(query: &str, format: Format) -> Form {
    let order = Order::from_query(query);
    Form::new(Vec::new(), View { order, format })
}

/// Returns a time that is not reached while a test runs.
fn never() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// Advances the reading until it is done; returns the number of slices.
fn finish(reading: &Reading) -> usize {
    (1..)
        .find(|_| reading.advance(never(), None) == Fill::Done)
        .unwrap()
}

fn pieces(mut listing: Listing) -> Vec<String> {
    let mut pieces = Vec::new();
    loop {
        let mut out = Vec::new();
        let fill = listing.fill(&mut out).unwrap();
        assert!(out.capacity() <= 8 * 1024, "as much as was counted");
        pieces.push(String::from_utf8(out).unwrap());
        if fill == Fill::Done {
            return pieces;
        }
    }
}

/// Returns the values of `"name"`, in the order of the array.
fn names(json: &str) -> Vec<&str> {
    let parts = json.split("{\"name\":\"").skip(1);
    parts
        .map(|part| part.split_once("\",\"type\"").unwrap().0)
        .collect()
}

#[test]
fn a_page_is_the_same_whether_it_was_made_at_once_or_later() {
    let site = Site::of(SLICE);
    for format in [Format::Html, Format::Json] {
        for query in ["", "sort=size&order=desc"] {
            let form = form(query, format);
            let mut run = Run::new(form.view.order);
            let fill = site.reader(PLAIN).read_slice(&mut run, None);
            assert_eq!(fill.unwrap(), Fill::Done);
            let page = form.page_of_run(&mut run, None).content;
            assert_eq!(
                site.list(query, format, PLAIN),
                [str::from_utf8(&page).unwrap()]
            );
        }
    }
}

#[test]
fn many_entries_are_read_in_slices_and_written_in_pieces() {
    let site = Site::of(3000);
    let reading = Arc::new(site.after(&Known::default(), "", PLAIN));
    let slices = finish(&reading);
    assert!((6..=8).contains(&slices), "{slices}");
    let parts = site.pieces(&reading, "", Format::Json);
    assert!(parts.len() > 20);
    let expected: Vec<_> = (0..3000).map(|number| format!("{number:04}")).collect();
    let json = parts.concat();
    assert_eq!(names(&json), expected);
    assert_eq!(json.matches("},\n{").count(), 2999);
    assert!(json.starts_with("[{") && json.ends_with("}]\n"));
}

#[test]
fn a_slice_ends_when_its_time_is_over() {
    let site = Site::of(600);
    let reading = Arc::new(site.after(&Known::default(), "", PLAIN));
    let past = Instant::now();
    let slices = (1..)
        .find(|_| reading.advance(past, None) == Fill::Done)
        .unwrap();
    assert!(slices > 5, "a batch each, and not all of {slices}");
    assert_eq!(
        names(&site.pieces(&reading, "", Format::Json).concat()).len(),
        600
    );
}

#[test]
fn a_file_that_is_deleted_while_its_directory_is_read_is_left_out() {
    let site = Site::of(2000);
    let reading = Arc::new(site.after(&Known::default(), "", PLAIN));
    assert_eq!(reading.advance(never(), None), Fill::More);
    for number in 0..2000 {
        fs::remove_file(site.path.join(format!("{number:04}"))).unwrap();
    }
    finish(&reading);
    let left = reading.entries().unwrap().len();
    assert!((SLICE + 1..2000).contains(&left), "{left}");
}

#[test]
fn the_longest_names_fit_in_their_pieces() {
    let site = Site::new();
    for number in 0..600 {
        // Each of its bytes is written as six in a page, and as six in JSON.
        for byte in ['"', '\u{1}'] {
            let name = format!("{number:04}") + &byte.to_string().repeat(251);
            site.file(name, 2000);
        }
    }
    for format in [Format::Html, Format::Json] {
        assert!(site.list("", format, PLAIN).len() > 200);
    }
}

#[test]
fn names_of_any_bytes_but_nul_and_slash_are_listed() {
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
    let html = site.list("", Format::Html, PLAIN).concat();
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
    let all = site.list("", Format::Json, WITH_DOTFILES);
    assert_eq!(names(&all.concat()).len(), 5);
}

#[test]
fn links_are_listed_as_their_targets() {
    let site = Site::new();
    site.file("z", 5);
    fs::create_dir(site.path.join("y")).unwrap();
    symlink("z", site.path.join("file")).unwrap();
    symlink("y", site.path.join("directory")).unwrap();
    symlink("nowhere", site.path.join("broken")).unwrap();
    let json = site.json("");
    assert_eq!(names(&json), ["directory", "y", "broken", "file", "z"]);
    assert!(json.contains("\"file\",\"type\":\"symlink\",\"size\":5,\"mtime\":1"));
    assert!(json.contains("\"broken\",\"type\":\"symlink\",\"size\":null,\"mtime\":null"));
    let html = site.list("", Format::Html, PLAIN).concat();
    assert!(html.contains(
        "<a href=\"directory/\" title=\"Symbolic link\"><bdi>directory</bdi>/<i>@</i></a>"
    ));
    assert!(html.contains("<p class=\"n\">2 directories, 3 files</p>"));
}

#[test]
fn a_link_is_followed_by_its_path_below_the_root() {
    let site = Site::new();
    symlink("nowhere", site.path.join("link")).unwrap();
    let (asked, seen) = std::sync::mpsc::channel();
    let follow = move |path: &[u8]| {
        asked.send(path.to_vec()).unwrap();
        Err(io::ErrorKind::NotFound.into())
    };
    let directory = OwnedFd::from(fs::File::open(&site.path).unwrap());
    let mut reader = Reader::new(directory, b"a/b", PLAIN, follow);
    let mut run = Run::new(Order::from_query(""));
    reader.read_slice(&mut run, None).unwrap();
    drop(reader);
    assert_eq!(seen.iter().collect::<Vec<_>>(), [b"a/b/link"]);
}

#[test]
fn names_that_were_made_or_deleted_since_the_reading_are_noticed() {
    let site = Site::of(5);
    let read = |dotfiles| {
        let (mut reader, mut run) = (site.reader(dotfiles), Run::new(Order::from_query("")));
        reader.read_slice(&mut run, None).unwrap();
        reader
    };
    let mut reader = read(PLAIN);
    assert!(reader.finds_the_same_names() && reader.finds_the_same_names());
    site.file(".hidden", 0);
    assert!(reader.finds_the_same_names());
    assert!(read(WITH_DOTFILES).finds_the_same_names());
    site.file("new", 0);
    assert!(!reader.finds_the_same_names());
    fs::rename(site.path.join("0000"), site.path.join("00")).unwrap();
    let mut reader = read(PLAIN);
    fs::rename(site.path.join("00"), site.path.join("0000")).unwrap();
    assert!(!reader.finds_the_same_names());
    symlink("new", site.path.join("link")).unwrap();
    assert!(
        !read(PLAIN).finds_the_same_names(),
        "what cannot be watched"
    );
}

#[test]
fn an_empty_directory_is_an_empty_array_and_a_page_that_says_so() {
    let site = Site::new();
    assert_eq!(site.json(""), "[]\n");
    let html = site.list("", Format::Html, PLAIN).concat();
    assert!(html.contains("This directory is empty."));
}

#[test]
fn a_file_in_place_of_a_directory_is_an_error() {
    let site = Site::new();
    site.file("plain", 0);
    let file = OwnedFd::from(fs::File::open(site.path.join("plain")).unwrap());
    let follow = |_: &[u8]| Err(io::ErrorKind::NotFound.into());
    let reader = Reader::new(file, b"", PLAIN, follow);
    let order = Order::from_query("");
    let reading = Reading::new(reader, order, &site.memory, &Known::default());
    finish(&reading);
    let failure = reading.entries().map(drop);
    assert_eq!(failure, Err(ReadingError::Unreadable(Errno::NOTDIR)));
    assert!(site.is_idle());
}
