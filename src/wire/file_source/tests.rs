use std::io::Write as _;
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, memfd_create};

use super::*;
use crate::wire::file_threads::{FileThreadFigures, FileThreads, Locality};

const MINUTE: Duration = Duration::from_secs(60);

fn content(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

fn file(content: &[u8]) -> Arc<File> {
    let mut file = File::from(memfd_create("file", MemfdFlags::CLOEXEC).unwrap());
    file.write_all(content).unwrap();
    Arc::new(file)
}

fn threads() -> FileThreads {
    let threads = FileThreads::new(1, MINUTE).unwrap();
    threads.start().unwrap();
    threads
}

fn source(
    file: &Arc<File>,
    threads: &FileThreads,
    parts: impl IntoIterator<Item = FilePart>,
) -> FileSource {
    let file = DroppedByThread::new(Arc::clone(file), threads);
    let submitter = Submitter::new(threads, Waker::noop().clone());
    FileSource::begin(file, parts.into_iter().collect(), submitter).unwrap()
}

/// Asks until the source has something or ends.
fn fill(source: &mut FileSource, out: &mut Vec<u8>) -> io::Result<Fill> {
    loop {
        let before = out.len();
        match source.fill(out)? {
            Fill::NotNow if out.len() == before => thread::yield_now(),
            fill => return Ok(fill),
        }
    }
}

/// Returns all that the source gives.
fn read(mut source: FileSource) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    while fill(&mut source, &mut out)? != Fill::Done {}
    Ok(out)
}

fn wait_until(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < MINUTE, "the condition never held");
        thread::yield_now();
    }
}

fn text(text: &str) -> FilePart {
    FilePart::Text(text.as_bytes().to_vec())
}

#[test]
fn a_range_is_read_piece_by_piece() {
    const P: usize = PIECE as usize;
    let threads = threads();
    for length in [1, P - 1, P, P + 1, 3 * P, 3 * P + 5] {
        let content = content(length);
        let file = file(&content);
        let size = length as u64;
        let whole = read(source(&file, &threads, [FilePart::Range(0..size)])).unwrap();
        assert!(whole == content, "{length}");
        let end = read(source(&file, &threads, [FilePart::Range(size - 1..size)])).unwrap();
        assert!(end == content[length - 1..], "{length}");
    }
}

#[test]
fn a_file_of_unknown_length_is_read_to_its_end() {
    const P: usize = PIECE as usize;
    let threads = threads();
    for length in [0, 1, P, P + 1, 2 * P] {
        let content = content(length);
        let file = file(&content);
        let whole = read(source(&file, &threads, [FilePart::ToEnd(0)])).unwrap();
        assert!(whole == content, "{length}");
        let rest = read(source(&file, &threads, [FilePart::ToEnd(1)])).unwrap();
        assert!(rest == content[length.min(1)..], "{length}");
    }
}

#[test]
fn texts_stand_between_ranges() {
    let (threads, content) = (threads(), content(200_000));
    let file = file(&content);
    let parts = || {
        [
            text("a"),
            text("b"),
            FilePart::Range(5..7),
            text("c"),
            FilePart::Range(0..150_000),
            FilePart::Range(199_999..200_000),
            text("d"),
            text("e"),
        ]
    };
    let expected = [
        b"ab",
        &content[5..7],
        b"c",
        &content[..150_000],
        &content[199_999..],
        b"de",
    ]
    .concat();
    let length: Option<u64> = parts().iter().map(FilePart::length).sum();
    assert_eq!(length, Some(expected.len() as u64));
    assert!(read(source(&file, &threads, parts())).unwrap() == expected);
    let lengths = [text("abc"), FilePart::ToEnd(0)];
    assert_eq!(
        lengths.iter().map(FilePart::length).sum::<Option<u64>>(),
        None
    );
}

#[test]
fn text_alone_needs_no_thread() {
    let threads = threads();
    let mut source = source(&file(b""), &threads, [text("a"), text("b")]);
    let mut out = Vec::new();
    assert_eq!(source.fill(&mut out).unwrap(), Fill::Done);
    assert_eq!(out, b"ab");
    assert_eq!(threads.figures().done, 0);
}

#[test]
fn a_file_that_shrinks_is_an_error_and_no_short_body() {
    let (threads, content) = (threads(), content(200_000));
    for length in [0, 10, PIECE, PIECE + 10, 199_999] {
        let file = file(&content);
        file.set_len(length).unwrap();
        let error = read(source(&file, &threads, [FilePart::Range(0..200_000)])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{length}");
    }
}

#[test]
fn one_piece_is_read_ahead_and_no_more() {
    let (threads, file) = (threads(), file(&[b'1'; 4 * PIECE as usize]));
    let mut source = source(&file, &threads, [FilePart::Range(0..4 * PIECE)]);
    let mut out = Vec::new();
    for pieces in 1..4 {
        // What the source has read it keeps; what it has not read has changed.
        let figures = || threads.figures();
        wait_until(|| figures().done == pieces && figures().idle == 1);
        let new = [b'1' + pieces as u8; PIECE as usize];
        file.write_all_at(&new, pieces * PIECE).unwrap();
        out.clear();
        assert_eq!(source.fill(&mut out).unwrap(), Fill::More);
        assert_eq!(out.len() as u64, PIECE);
        assert_eq!(out.first(), Some(&(b'0' + pieces as u8)));
        let FileThreadFigures {
            queued, busy, done, ..
        } = figures();
        assert_eq!(queued + busy + done, pieces + 1);
    }
    out.clear();
    assert_eq!(fill(&mut source, &mut out).unwrap(), Fill::Done);
    assert_eq!(out.first(), Some(&b'4'));
    assert_eq!(threads.figures().done, 4);
}

#[test]
fn a_source_that_is_dropped_is_read_no_further_and_a_thread_closes_the_file() {
    let (threads, file) = (threads(), file(&content(300_000)));
    drop(source(&file, &threads, [FilePart::Range(0..300_000)]));
    wait_until(|| Arc::strong_count(&file) == 1);
    wait_until(|| threads.figures().idle == 1);
    assert!(threads.figures().done <= 1);
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let threads = threads();
    let directory = Arc::new(File::open("/").unwrap());
    for part in [FilePart::Range(0..10), FilePart::ToEnd(0)] {
        let error = read(source(&directory, &threads, [part])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
    }
}

#[test]
fn a_source_whose_first_piece_no_thread_takes_does_not_begin() {
    // Any job that runs makes the thread a lost one.
    let threads = FileThreads::new(1, Duration::ZERO).unwrap();
    threads.start().unwrap();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let wait = move || {
        let _ = released.recv();
    };
    let held = threads
        .submit(Waker::noop().clone(), Locality::Remote, wait)
        .unwrap();
    wait_until(|| threads.figures().lost == 1);
    let file = DroppedByThread::new(file(b"content"), &threads);
    let submitter = Submitter::new(&threads, Waker::noop().clone());
    let parts = VecDeque::from([text("a"), FilePart::ToEnd(0)]);
    assert_eq!(
        FileSource::begin(file, parts, submitter).err(),
        Some(Refused)
    );
    drop((release, held));
}
