use std::io::Write as _;
use std::thread::sleep;
use std::time::Duration;

use super::*;

/// A transport that keeps the bytes it is sent.
struct FakeTransport {
    output: Vec<u8>,
    /// The error of sendfile, if it fails. Only then writes are accepted.
    refusal: Option<Errno>,
    /// The most bytes that one write takes.
    write_limit: usize,
    sendfile_calls: usize,
}

impl FakeTransport {
    fn new() -> Self {
        Self {
            output: Vec::new(),
            refusal: None,
            write_limit: 0,
            sendfile_calls: 0,
        }
    }

    fn refusing(errno: Errno) -> Self {
        Self {
            refusal: Some(errno),
            write_limit: usize::MAX,
            ..Self::new()
        }
    }
}

impl Transport for FakeTransport {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn write(&mut self, bytes: &[u8], _: bool) -> io::Result<usize> {
        if self.refusal.is_none() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        if self.write_limit == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = bytes.len().min(self.write_limit);
        self.output.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn send_file(&mut self, file: &File, offset: u64, length: usize) -> io::Result<usize> {
        self.sendfile_calls += 1;
        if let Some(errno) = self.refusal {
            return Err(errno.into());
        }
        let start = self.output.len();
        self.output.resize(start + length, 0);
        let read = file.read_at(&mut self.output[start..], offset)?;
        self.output.truncate(start + read);
        Ok(read)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn reset(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn share(cold: Cold) -> Share {
    Share {
        bytes: 300_000,
        requests: 0,
        whole: false,
        cold,
        turn: 0,
        progress: false,
    }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index / 7 % 251) as u8).collect()
}

fn cached_file(content: &[u8]) -> SharedFile {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file.into()
}

/// Makes a file that is on the disk and not in memory; `None` if the temporary directory is always in memory.
fn uncached_file(content: &[u8]) -> Option<SharedFile> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file.sync_all().unwrap();
    evict(&file);
    let file = SharedFile::from(file);
    let is_uncached = file.has_in_memory(0..content.len() as u64) == InMemory::No;
    if !is_uncached {
        eprintln!("skipped: files of the temporary directory are always in memory");
    }
    is_uncached.then_some(file)
}

/// Removes the file from memory, except for bytes that are just being read ahead.
fn evict(file: &File) {
    sleep(Duration::from_millis(1));
    fadvise(file, 0, None, Advice::DontNeed).unwrap();
}

#[test]
fn an_uncached_file_is_requested_and_sent_after_it_was_read() {
    let content = bytes(3 * WINDOW as usize + 5);
    let Some(file) = uncached_file(&content) else {
        return;
    };
    let mut file_range = FileRange::from(3..content.len() as u64);
    let mut transport = FakeTransport::new();
    let mut send = |cold| {
        file_range
            .send(&file, &mut transport, &mut share(cold))
            .map(|sent| (sent, transport.output.len()))
            .unwrap()
    };
    assert_eq!(send(Cold::Wait), (Next::WaitForDisk, 0));
    let mut waits = 0;
    loop {
        match send(Cold::Ask) {
            (Next::Continue, _) => break,
            (Next::WaitForDisk, _) => waits += 1,
            _ => {}
        }
        assert!(waits < 10_000, "the file is never read ahead");
        sleep(Duration::from_millis(1));
    }
    assert!(transport.output == content[3..]);
}

#[test]
fn a_cached_file_is_sent_at_once_and_a_shrunken_one_is_an_error() {
    let content = bytes(2 * WINDOW as usize);
    let file = cached_file(&content);
    let mut file_range = FileRange::from(0..content.len() as u64);
    let mut transport = FakeTransport::new();
    let mut send = || file_range.send(&file, &mut transport, &mut share(Cold::Ask));
    for _ in 0..3 {
        assert_eq!(send().unwrap(), Next::Yield);
    }
    file.file.set_len(WINDOW).unwrap();
    let error = loop {
        match send() {
            Ok(sent) => assert_eq!(sent, Next::Yield),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(transport.output == content[..WINDOW as usize]);
}

#[test]
fn a_file_that_is_never_read_ahead_is_read_nevertheless() {
    let content = bytes(WINDOW as usize * 2);
    let Some(file) = uncached_file(&content) else {
        return;
    };
    let mut file_range = FileRange::from(0..content.len() as u64);
    let mut transport = FakeTransport::new();
    file_range.attempts = MAX_ATTEMPTS;
    let mut send = || {
        evict(&file.file);
        file_range.send(&file, &mut transport, &mut share(Cold::Ask))
    };
    assert_eq!(send().unwrap(), Next::WaitForDisk);
    // From now on no part of it is waited for.
    loop {
        match send().unwrap() {
            Next::Continue => break,
            sent => assert_eq!(sent, Next::Yield),
        }
    }
    assert!(transport.output == content);
}

#[test]
fn replies_of_a_turn_share_one_check_of_a_file() {
    let content = bytes(200_000);
    let Some(shared) = uncached_file(&content) else {
        return;
    };
    let send = |turn, cold| {
        let mut transport = FakeTransport::new();
        let mut share = Share {
            turn,
            ..share(cold)
        };
        let mut file_range = FileRange::from(0..content.len() as u64);
        file_range
            .send_shared(&shared, &mut transport, &mut share)
            .unwrap()
    };
    let is_checked = |turn| {
        evict(&shared.file);
        send(turn, Cold::Wait) == Next::WaitForDisk
    };
    assert!((0..1000).any(|_| is_checked(7)));
    shared.file.read_at(&mut vec![0; content.len()], 0).unwrap();
    assert_eq!(send(7, Cold::Wait), Next::Continue);
    assert!((0..1000).all(|_| !is_checked(7)));
    // The file stays in memory for a moment if the kernel is just reading it ahead, and a turn that finds it there checks no more.
    assert!((8..1008).any(is_checked));
}

#[test]
fn a_file_that_sendfile_refuses_is_copied_within_the_share() {
    let content = bytes(700_000);
    for errno in [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP] {
        let file = cached_file(&content);
        let mut transport = FakeTransport::refusing(errno);
        for cold in [Cold::Read, Cold::Ask] {
            let mut file_range = FileRange::from(5..content.len() as u64);
            let mut send = || {
                let mut share = share(cold);
                let sent = file_range.send_shared(&file, &mut transport, &mut share);
                (sent.unwrap(), share.bytes)
            };
            assert_eq!(send(), (Next::Yield, 0));
            assert_eq!(send(), (Next::Yield, 0));
            assert_eq!(send(), (Next::Continue, 200_005));
            assert!(transport.output == content[5..]);
            transport.output.clear();
        }
        // The refusal is remembered for this file only.
        assert_eq!(transport.sendfile_calls, 1);
        let (other, mut file_range) = (cached_file(&content), FileRange::from(0..10));
        let sent = file_range.send(&other, &mut transport, &mut share(Cold::Read));
        assert_eq!(
            (sent.unwrap(), transport.sendfile_calls),
            (Next::Continue, 2)
        );
    }
}

#[test]
fn a_refused_file_waits_after_a_short_write_and_loses_nothing() {
    let content = bytes(200_000);
    let file = cached_file(&content);
    for limit in [1000, COPY_SIZE - 1, COPY_SIZE, COPY_SIZE + 1] {
        let mut file_range = FileRange::from(0..content.len() as u64);
        let mut transport = FakeTransport::refusing(Errno::INVAL);
        let mut send = |limit| {
            transport.write_limit = limit;
            let sent = file_range.send(&file, &mut transport, &mut share(Cold::Read));
            (sent.unwrap(), transport.output.len())
        };
        let mut before = 0;
        while before < content.len() {
            assert_eq!(send(0), (Next::Wait, before));
            let (sent, after) = send(limit);
            let left = content.len() - before;
            // If a write takes all bytes, the next read follows at once.
            if limit < left.min(COPY_SIZE) {
                assert_eq!((sent, after), (Next::Wait, before + limit));
            }
            assert!(after > before);
            before = after;
        }
        assert_eq!(send(0), (Next::Continue, content.len()));
        assert!(transport.output == content, "at most {limit} at once");
    }
}

#[test]
fn a_refused_file_that_has_shrunk_ends_the_connection() {
    let content = bytes(100_000);
    let file = cached_file(&content);
    let mut file_range = FileRange::from(0..content.len() as u64 + 1);
    let mut transport = FakeTransport::refusing(Errno::NOSYS);
    let sent = file_range.send(&file, &mut transport, &mut share(Cold::Read));
    assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert!(transport.output == content);
}

#[test]
fn another_error_of_sendfile_is_not_a_refusal() {
    let file = cached_file(b"hello");
    let mut transport = FakeTransport::refusing(Errno::IO);
    let sent = FileRange::from(0..5).send(&file, &mut transport, &mut share(Cold::Read));
    assert_eq!(
        sent.unwrap_err().raw_os_error(),
        Some(Errno::IO.raw_os_error())
    );
    assert_eq!(transport.output, b"");
}

#[test]
fn a_small_read_is_complete_or_not_made() {
    let content = bytes(10_000);
    let Some(file) = uncached_file(&content) else {
        return;
    };
    let mut buffer = vec![0; content.len()];
    let is_uncached = |_| {
        evict(&file.file);
        !file.read_exact_now(&mut buffer, 0).unwrap()
    };
    assert!((0..1000).any(is_uncached));
    file.file.read_exact_at(&mut buffer, 0).unwrap();
    buffer.fill(0);
    assert!(file.read_exact_now(&mut buffer, 0).unwrap());
    assert!(buffer == content);
    // Bytes beyond the end are an error, not bytes on the disk.
    let end = file.read_exact_now(&mut buffer, 1);
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}
