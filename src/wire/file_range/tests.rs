use std::io::Write as _;
use std::thread::sleep;
use std::time::Duration;

use super::*;

/// Keeps what it is sent.
struct Sink(Vec<u8>);

impl Transport for Sink {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn write(&mut self, _: &[u8], _: bool) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn send_file(&mut self, file: &File, offset: u64, length: usize) -> io::Result<usize> {
        let start = self.0.len();
        self.0.resize(start + length, 0);
        let read = file.read_at(&mut self.0[start..], offset)?;
        self.0.truncate(start + read);
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

/// A file on the disk and not in memory; `None` where files are never that.
fn cold_file(content: &[u8]) -> Option<SharedFile> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file.sync_all().unwrap();
    chill(&file);
    let is_cold = !is_in_memory(&file, 0..content.len() as u64);
    if !is_cold {
        eprintln!("skipped: files of the temporary directory are always in memory");
    }
    is_cold.then(|| file.into())
}

/// Throws away what is in memory; what is just being read ahead stays.
fn chill(file: &File) {
    sleep(Duration::from_millis(1));
    fadvise(file, 0, None, Advice::DontNeed).unwrap();
}

#[test]
fn a_cold_file_is_asked_for_and_sent_when_it_is_there() {
    let content = bytes(3 * WINDOW as usize + 5);
    let Some(file) = cold_file(&content) else {
        return;
    };
    let mut file_range = FileRange::from(3..content.len() as u64);
    let mut sink = Sink(Vec::new());
    let mut send = |cold| {
        file_range
            .send(&file, &mut sink, &mut share(cold))
            .map(|sent| (sent, sink.0.len()))
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
        assert!(waits < 10_000, "it never comes");
        sleep(Duration::from_millis(1));
    }
    assert!(sink.0 == content[3..]);
}

#[test]
fn a_warm_file_is_not_waited_for_and_a_shrunken_one_neither() {
    let content = bytes(2 * WINDOW as usize);
    let file = warm_file(&content);
    let mut file_range = FileRange::from(0..content.len() as u64);
    let mut sink = Sink(Vec::new());
    let mut send = || file_range.send(&file, &mut sink, &mut share(Cold::Ask));
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
    assert!(sink.0 == content[..WINDOW as usize]);
}

#[test]
fn what_never_comes_is_read_all_the_same() {
    let content = bytes(WINDOW as usize * 2);
    let Some(file) = cold_file(&content) else {
        return;
    };
    let mut file_range = FileRange::from(0..content.len() as u64);
    let mut sink = Sink(Vec::new());
    file_range.attempts = PATIENCE;
    let mut send = || {
        chill(&file.file);
        file_range.send(&file, &mut sink, &mut share(Cold::Ask))
    };
    assert_eq!(send().unwrap(), Next::WaitForDisk);
    // From now on nothing of it is waited for.
    loop {
        match send().unwrap() {
            Next::Continue => break,
            sent => assert_eq!(sent, Next::Yield),
        }
    }
    assert!(sink.0 == content);
}

#[test]
fn what_one_reply_finds_in_memory_the_others_of_the_turn_know() {
    let content = bytes(200_000);
    let Some(shared) = cold_file(&content) else {
        return;
    };
    let send = |turn, cold| {
        let mut sink = Sink(Vec::new());
        let mut share = Share {
            turn,
            ..share(cold)
        };
        let mut file_range = FileRange::from(0..content.len() as u64);
        file_range
            .send_shared(&shared, &mut sink, &mut share)
            .unwrap()
    };
    let is_asked = |turn| {
        chill(&shared.file);
        send(turn, Cold::Wait) == Next::WaitForDisk
    };
    assert!((0..1000).any(|_| is_asked(7)));
    shared.file.read_at(&mut vec![0; content.len()], 0).unwrap();
    assert_eq!(send(7, Cold::Wait), Next::Continue);
    assert!((0..1000).all(|_| !is_asked(7)));
    assert!((0..1000).any(|_| is_asked(8)));
}

/// Refuses sendfile, and takes at most so many bytes of a write.
struct Refusing {
    errno: Errno,
    most: usize,
    tried: usize,
    output: Vec<u8>,
}

impl Refusing {
    fn new(errno: Errno, most: usize) -> Self {
        Self {
            errno,
            most,
            tried: 0,
            output: Vec::new(),
        }
    }
}

impl Transport for Refusing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn write(&mut self, bytes: &[u8], _: bool) -> io::Result<usize> {
        if self.most == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = bytes.len().min(self.most);
        self.output.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn send_file(&mut self, _: &File, _: u64, _: usize) -> io::Result<usize> {
        self.tried += 1;
        Err(self.errno.into())
    }

    fn shutdown(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn reset(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn warm_file(content: &[u8]) -> SharedFile {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file.into()
}

#[test]
fn a_file_that_sendfile_refuses_is_read_and_written_within_the_share() {
    let content = bytes(700_000);
    for errno in [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP] {
        let file = warm_file(&content);
        let mut transport = Refusing::new(errno, usize::MAX);
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
        // The file is known by then; another one is not.
        assert_eq!(transport.tried, 1);
        let (other, mut file_range) = (warm_file(&content), FileRange::from(0..10));
        let sent = file_range.send(&other, &mut transport, &mut share(Cold::Read));
        assert_eq!((sent.unwrap(), transport.tried), (Next::Continue, 2));
    }
}

#[test]
fn a_refused_file_waits_after_a_short_write_and_loses_nothing() {
    let content = bytes(200_000);
    let file = warm_file(&content);
    for most in [1000, COPIED - 1, COPIED, COPIED + 1] {
        let mut file_range = FileRange::from(0..content.len() as u64);
        let mut transport = Refusing::new(Errno::INVAL, 0);
        let mut send = |most| {
            transport.most = most;
            let sent = file_range.send(&file, &mut transport, &mut share(Cold::Read));
            (sent.unwrap(), transport.output.len())
        };
        let mut before = 0;
        while before < content.len() {
            assert_eq!(send(0), (Next::Wait, before));
            let (sent, after) = send(most);
            let left = content.len() - before;
            // A read that is taken as a whole is followed by the next.
            if most < left.min(COPIED) {
                assert_eq!((sent, after), (Next::Wait, before + most));
            }
            assert!(after > before);
            before = after;
        }
        assert_eq!(send(0), (Next::Continue, content.len()));
        assert!(transport.output == content, "{most} at once");
    }
}

#[test]
fn a_refused_file_that_has_shrunk_ends_the_connection() {
    let content = bytes(100_000);
    let file = warm_file(&content);
    let mut file_range = FileRange::from(0..content.len() as u64 + 1);
    let mut transport = Refusing::new(Errno::NOSYS, usize::MAX);
    let sent = file_range.send(&file, &mut transport, &mut share(Cold::Read));
    assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    assert!(transport.output == content);
}

#[test]
fn another_failure_of_sendfile_is_no_refusal() {
    let file = warm_file(b"hello");
    let mut transport = Refusing::new(Errno::IO, usize::MAX);
    let sent = FileRange::from(0..5).send(&file, &mut transport, &mut share(Cold::Read));
    assert_eq!(
        sent.unwrap_err().raw_os_error(),
        Some(Errno::IO.raw_os_error())
    );
    assert_eq!(transport.output, b"");
}

#[test]
fn small_reads_are_whole_or_none() {
    let content = bytes(10_000);
    let Some(SharedFile { file, .. }) = cold_file(&content) else {
        return;
    };
    let mut buffer = vec![0; content.len()];
    let is_cold = |_| {
        chill(&file);
        !read_exact_now(&file, &mut buffer, 0).unwrap()
    };
    assert!((0..1000).any(is_cold));
    file.read_exact_at(&mut buffer, 0).unwrap();
    buffer.fill(0);
    assert!(read_exact_now(&file, &mut buffer, 0).unwrap());
    assert!(buffer == content);
    // Of what is not there, nothing is said to be on the disk.
    let end = read_exact_now(&file, &mut buffer, 1);
    assert_eq!(end.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
}
