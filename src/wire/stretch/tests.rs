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
    let mut stretch = Stretch::from(3..content.len() as u64);
    let mut sink = Sink(Vec::new());
    let mut send = |cold| {
        stretch
            .send(&file, &mut sink, &mut share(cold))
            .map(|sent| (sent, sink.0.len()))
            .unwrap()
    };
    assert_eq!(send(Cold::Wait), (Sent::Cold, 0));
    let mut waits = 0;
    loop {
        match send(Cold::Ask) {
            (Sent::All, _) => break,
            (Sent::Cold, _) => waits += 1,
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
    let mut stretch = Stretch::from(0..content.len() as u64);
    let mut sink = Sink(Vec::new());
    let mut send = || stretch.send(&file, &mut sink, &mut share(Cold::Ask));
    for _ in 0..3 {
        assert_eq!(send().unwrap(), Sent::Yield);
    }
    file.file.set_len(WINDOW).unwrap();
    let error = loop {
        match send() {
            Ok(sent) => assert_eq!(sent, Sent::Yield),
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
    let mut stretch = Stretch::from(0..content.len() as u64);
    let mut sink = Sink(Vec::new());
    stretch.attempts = PATIENCE;
    let mut send = || {
        chill(&file.file);
        stretch.send(&file, &mut sink, &mut share(Cold::Ask))
    };
    assert_eq!(send().unwrap(), Sent::Cold);
    // From now on nothing of it is waited for.
    loop {
        match send().unwrap() {
            Sent::All => break,
            sent => assert_eq!(sent, Sent::Yield),
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
        let mut stretch = Stretch::from(0..content.len() as u64);
        stretch.send_shared(&shared, &mut sink, &mut share).unwrap()
    };
    let is_asked = |turn| {
        chill(&shared.file);
        send(turn, Cold::Wait) == Sent::Cold
    };
    assert!((0..1000).any(|_| is_asked(7)));
    shared.file.read_at(&mut vec![0; content.len()], 0).unwrap();
    assert_eq!(send(7, Cold::Wait), Sent::All);
    assert!((0..1000).all(|_| !is_asked(7)));
    assert!((0..1000).any(|_| is_asked(8)));
}

fn warm_file(content: &[u8]) -> SharedFile {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file.into()
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
