//! `--calibrate`: measures how fast the kernel of this machine lets one loop receive and send, if it does nothing more. No server
//! on one processor is faster, so the speed of a real server can be read as a share of these figures.
//!
//! Client and server run the same code: each waits for a message of known length and answers with its own. The server runs in
//! the calling thread and the client in another one, as wrk has a processor of its own.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::fs::{Dir, MemfdFlags, Mode, OFlags, memfd_create, open, sendfile};
use rustix::net::{SendFlags, send, sockopt::set_tcp_nodelay};

use super::values::Bind;
use super::{CommandError, DEFAULT_PORT, Options, banner};

/// Time for which each kind of reply is measured, after a tenth of it to warm up.
const TIME: Duration = Duration::from_millis(700);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";
const NULL: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
const MIB: usize = 1 << 20;
/// Bytes of one read at most, as real clients use. Larger reads make sendfile slower, above all for the server: with 256 KiB it
/// took six times the processor time.
const READ_SIZE: usize = 16 << 10;

/// Measures for about three seconds and prints each figure when it is known.
pub(crate) fn run(options: &Options) -> Result<(), CommandError> {
    let url = url(options);
    banner::print("What this kernel gives one loop at most, over loopback:\n\n")?;
    for (name, connections, length, from_file) in [
        ("null reply", 64, 0, false),
        ("memory, 1 KiB", 64, 1 << 10, false),
        ("memory, 64 KiB", 16, 64 << 10, false),
        ("sendfile, 1 MiB", 16, MIB, true),
    ] {
        let file = from_file.then(|| scratch_file(&options.directory));
        let reply = RawMessage::reply(length, file.transpose()?)?;
        let figures = measure(connections, &reply)?;
        banner::print(&figures.line(name, reply.length()))?;
    }
    banner::print(&format!(
        "\nThe loop received and sent, and did nothing else. To compare, serve with --quiet --report and run\n\n\
         \x20 wrk -t1 -c64 -d10s --latency {url}\n\
         \x20 oha -c 64 -z 10s --no-tui {url}\n\n\
         Divide their requests/s, or bytes/s for large files, by the line of that size. If the client is slower\n\
         than the server, it does not reach that line, and --report finds the server idle.\n"
    ))
}

/// What one side sends: bytes from memory, then perhaps a file.
struct RawMessage {
    bytes: Vec<u8>,
    file: Option<(File, usize)>,
}

impl RawMessage {
    fn reply(length: usize, file: Option<File>) -> io::Result<Self> {
        if length == 0 {
            return Ok(Self::of(NULL));
        }
        let mut message = Self::of(
            format!(
                "HTTP/1.1 200 OK\r\nServer: httpoll\r\nDate: Sat, 21 Nov 2026 00:00:00 GMT\r\n\
                 Content-Type: text/html\r\nContent-Length: {length}\r\nAccept-Ranges: bytes\r\n\
                 Last-Modified: Sat, 21 Nov 2026 00:00:00 GMT\r\nETag: \"5d8-6543\"\r\n\r\n"
            )
            .as_bytes(),
        );
        let body = vec![b'x'; length];
        if let Some(mut file) = file {
            file.write_all(&body)?;
            message.file = Some((file, length));
        } else {
            message.bytes.extend(body);
        }
        Ok(message)
    }

    fn of(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            file: None,
        }
    }

    fn length(&self) -> usize {
        self.bytes.len() + self.file.as_ref().map_or(0, |(_, length)| *length)
    }

    /// Sends what follows the first `sent` bytes, and returns how many bytes the socket took.
    fn send(&self, stream: &TcpStream, sent: usize) -> io::Result<usize> {
        let sent = match (self.bytes.get(sent..), &self.file) {
            (Some(rest), file) if !rest.is_empty() => {
                let more = file
                    .as_ref()
                    .map_or(SendFlags::empty(), |_| SendFlags::MORE);
                send(stream, rest, SendFlags::NOSIGNAL | more)
            }
            (_, Some((file, length))) => {
                let mut offset = (sent - self.bytes.len()) as u64;
                sendfile(stream, file, Some(&mut offset), *length)
            }
            _ => Ok(0),
        };
        Ok(sent?)
    }
}

/// Opens a nameless file on the served file system, because each has its own speed; where it allows none, in the temporary
/// directory or in memory.
fn scratch_file(directory: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = [directory, &env::temp_dir()]
        .into_iter()
        .find_map(|place| open(place, flags, Mode::RUSR | Mode::WUSR).ok());
    Ok(match file {
        Some(file) => file.into(),
        None => memfd_create("calibrate", MemfdFlags::CLOEXEC)?.into(),
    })
}

/// One end of a connection, at the client or at the server.
struct End {
    stream: TcpStream,
    /// Bytes of the other side's message that have not arrived yet.
    missing: usize,
    /// Bytes of our own message that have been sent.
    sent: usize,
}

/// The client or the server, with its ends of all connections.
struct Side<'a> {
    poll: Poll,
    ends: Vec<End>,
    /// Length of the message that the other side sends.
    expected: usize,
    message: &'a RawMessage,
    scratch: Vec<u8>,
    /// Messages of the other side that were answered.
    answered: u64,
}

impl<'a> Side<'a> {
    fn new(expected: usize, message: &'a RawMessage) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            ends: Vec::new(),
            expected,
            message,
            scratch: vec![0; READ_SIZE],
            answered: 0,
        })
    }

    fn add(&mut self, stream: std::net::TcpStream, sent: usize) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        set_tcp_nodelay(&stream, true)?;
        let mut stream = TcpStream::from_std(stream);
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut stream, Token(self.ends.len()), both)?;
        self.ends.push(End {
            stream,
            missing: self.expected,
            sent,
        });
        Ok(())
    }

    /// Answers until `deadline`, or fails when the other side closes.
    fn run(&mut self, deadline: Instant) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            match self.poll.poll(&mut events, Some(left)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                match self.exchange(event.token().0) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    exchanged => exchanged?,
                }
            }
        }
    }

    /// Sends the rest of our message; if all of it was sent, receives, and answers once the other side's message is complete. A
    /// short read means that the socket is empty: neither side sends again before it is answered, and the rest of the message
    /// raises another event.
    fn exchange(&mut self, token: usize) -> io::Result<()> {
        let Some(end) = self.ends.get_mut(token) else {
            return Ok(());
        };
        while end.sent == self.message.length() {
            let length = end.stream.read(&mut self.scratch)?;
            if length == 0 {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            end.missing = end.missing.saturating_sub(length);
            if end.missing == 0 {
                end.missing = self.expected;
                end.sent = 0;
                self.answered += 1;
            } else if length < self.scratch.len() {
                return Ok(());
            }
        }
        while end.sent < self.message.length() {
            end.sent += self.message.send(&end.stream, end.sent)?;
        }
        Ok(())
    }
}

/// What the server reached.
struct Figures {
    answered: u64,
    /// Processor time of the server's thread, in the kernel and outside.
    cpu: Duration,
    wall: Duration,
}

impl Figures {
    fn line(&self, name: &str, length: usize) -> String {
        let per_second = self.answered * 1_000_000 / (self.wall.as_micros() as u64).max(1);
        let tenths = self.cpu.as_nanos() as u64 / 100 / self.answered.max(1);
        let (cpu, tenth) = (tenths / 10, tenths % 10);
        let mib = per_second * length as u64 / MIB as u64;
        format!(
            "  {name:<15} {per_second:>8} requests/s {mib:>7} MiB/s {cpu:>5}.{tenth} us of CPU each\n"
        )
    }
}

fn measure(connections: usize, reply: &RawMessage) -> io::Result<Figures> {
    let request = RawMessage::of(REQUEST);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut server = Side::new(request.length(), reply)?;
    let mut client = Side::new(reply.length(), &request)?;
    for _ in 0..connections {
        let client_end = std::net::TcpStream::connect(listener.local_addr()?)?;
        // Another process may connect to the port: its connections are closed.
        let server_end = loop {
            let (stream, peer) = listener.accept()?;
            if peer == client_end.local_addr()? {
                break stream;
            }
        };
        server.add(server_end, reply.length())?;
        client.add(client_end, 0)?;
    }
    let warm = Instant::now() + TIME / 10;
    let end = warm + TIME;
    thread::scope(move |scope| {
        // The client ends when the server is dropped, which closes its connections.
        let ask = move || client.run(end + TIME);
        thread::Builder::new().spawn_scoped(scope, ask)?;
        server.run(warm)?;
        let before = (server.answered, cpu_time(), Instant::now());
        server.run(end)?;
        Ok(Figures {
            answered: server.answered - before.0,
            cpu: cpu_time().saturating_sub(before.1),
            wall: before.2.elapsed(),
        })
    })
}

/// Returns the processor time of this thread; zero if the kernel does not tell.
fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or_default())
}

/// Returns the URL for the commands to compare with: the address of the options, and a small file of the directory if it has one.
fn url(options: &Options) -> String {
    let mut addresses = options.bind.iter().filter_map(|bind| match bind {
        Bind::Tcp { host, port } => Some((host.as_str(), port.unwrap_or(options.port))),
        Bind::Unix(_) => None,
    });
    let (host, port) = addresses.next().unwrap_or(("", options.port));
    let host = match host {
        "" | "0.0.0.0" | "::" => "127.0.0.1".to_owned(),
        host if host.contains(':') => format!("[{host}]"),
        host => host.to_owned(),
    };
    let port = if port == 0 { DEFAULT_PORT } else { port };
    let (scheme, file) = (options.scheme(), file_in(&options.directory));
    format!("{scheme}://{host}:{port}/{file}")
}

/// Returns the name of the smallest file in `directory` that a URL holds without escapes; nothing if `/` is answered with a file.
fn file_in(directory: &Path) -> String {
    let mut smallest = (u64::MAX, String::new());
    if directory.join("index.html").is_file() {
        return smallest.1;
    }
    // A directory that cannot be read cannot be served either.
    let entries = File::open(directory).and_then(|directory| Ok(Dir::read_from(directory)?));
    let Ok(mut entries) = entries else {
        return smallest.1;
    };
    while let Some(Ok(entry)) = entries.read() {
        let name = entry.file_name().to_str().unwrap_or_default();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if entry.file_type().is_file() && name.bytes().all(is_plain) && !name.starts_with('.') {
            let size = fs::metadata(directory.join(name)).map_or(0, |metadata| metadata.len());
            if size > 0 && (size, name) < (smallest.0, &smallest.1) {
                smallest = (size, name.to_owned());
            }
        }
    }
    smallest.1
}

#[cfg(test)]
mod tests {
    use super::super::{Command, parse};
    use super::*;

    #[test]
    fn the_url_is_that_of_the_served_address() {
        let table: [(&[&str], &str); 6] = [
            (&[], "http://127.0.0.1:8000/"),
            (&["81"], "http://127.0.0.1:81/"),
            (&["-b", "0.0.0.0", "0"], "http://127.0.0.1:8000/"),
            (&["-b", "::1", "81"], "http://[::1]:81/"),
            (&["-b", "[::]:82"], "http://127.0.0.1:82/"),
            (&["-b", "files.local"], "http://files.local:8000/"),
        ];
        for (typed, expected) in table {
            let arguments = ["--calibrate", "-d", "/dev/null"].iter().chain(typed);
            let command = parse(arguments.map(Into::into).collect(), None);
            let Ok(Command::Calibrate(options)) = command else {
                panic!("{typed:?}: {command:?}");
            };
            assert_eq!(url(&options), expected, "{typed:?}");
        }
    }
}
