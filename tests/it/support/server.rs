//! The program as a child process.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::{Client, Reply, Site, TIMEOUT, skip, wait_until};
use crate::common;

/// The warnings that the program prints to root, and where the kernel cannot confine it.
const WARNINGS: [&str; 2] = ["httpoll: serving as root; ", "httpoll: not confined by "];

/// Removes the lines that depend on the user and the machine.
pub(crate) fn without_warnings(log: &str) -> String {
    let is_warning = |line: &&str| WARNINGS.iter().any(|warning| line.starts_with(warning));
    log.split_inclusive('\n')
        .filter(|line| !is_warning(line))
        .collect()
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    banner: String,
    stdout: Receiver<String>,
    stderr: PathBuf,
    /// Keeps the served directory while the server runs.
    _site: Option<Site>,
}

pub(crate) fn command(options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_httpoll"));
    command.args(options).stdin(Stdio::null());
    for name in ["PORT", "LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET"] {
        command.env_remove(name);
    }
    command
}

/// A command that runs the program without the rights of root; `None` where that is not possible.
pub(crate) fn unprivileged(options: &[&str]) -> Option<Command> {
    const UNPRIVILEGED: u32 = 65534;
    let mut command = command(options);
    if geteuid().is_root() {
        command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
        let mut trial = self::command(&["--version"]);
        if trial.uid(UNPRIVILEGED).gid(UNPRIVILEGED).output().is_err() {
            skip("run by root, in a directory that other users cannot enter");
            return None;
        }
    }
    Some(command)
}

/// Runs the program to its end.
pub(crate) fn run(options: &[&str]) -> Output {
    run_command(command(options))
}

pub(crate) fn run_command(mut command: Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    wait_for(&mut child);
    child.wait_with_output().unwrap()
}

/// A server that may open 40 descriptors.
pub(crate) fn short_of_descriptors(site: &Site) -> Server {
    let root = site.root();
    let served = command(&["0", "-b", "127.0.0.1", "-d", root.to_str().unwrap()]);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "ulimit -n 40; exec \"$0\" \"$@\""])
        .stdin(Stdio::null());
    shell.arg(served.get_program()).args(served.get_args());
    Server::spawn(shell)
}

impl Server {
    pub(crate) fn start(site: &Site) -> Self {
        Self::with(site, &[])
    }

    pub(crate) fn with(site: &Site, options: &[&str]) -> Self {
        let mut server = Self::of_path(&site.root(), options);
        server._site = Some(site.clone());
        server
    }

    /// Starts a server without the rights of root; `None` where that is not possible.
    pub(crate) fn unprivileged(site: &Site, options: &[&str]) -> Option<Self> {
        let root = site.root();
        let place = ["0", "-b", "127.0.0.1", "-d", root.to_str().unwrap()];
        unprivileged(&[&place, options].concat()).map(Self::spawn)
    }

    /// Starts a server for a directory or a single file.
    pub(crate) fn of_path(path: &Path, options: &[&str]) -> Self {
        let place = ["0", "-b", "127.0.0.1", "-d", path.to_str().unwrap()];
        Self::spawn(command(&[&place, options].concat()))
    }

    /// Starts `command`, and returns when the server listens.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let stderr = scratch_file();
        command.stderr(fs::File::create(&stderr).unwrap());
        Self::spawn_with_stderr(command, stderr)
    }

    /// Starts `command`, whose standard error the caller has directed. The log is read from the file `stderr`; an empty path stands
    /// for no file.
    pub(crate) fn spawn_with_stderr(mut command: Command, stderr: PathBuf) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = lines(child.stdout.take().unwrap());
        let banner = stdout.recv_timeout(TIMEOUT).unwrap_or_else(|_| {
            let _ = child.kill();
            let log = fs::read_to_string(&stderr).unwrap_or_default();
            panic!("no banner; standard error: {log}")
        });
        Self {
            address: address_in(&banner),
            child,
            banner,
            stdout,
            stderr,
            _site: None,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The number of descriptors that the server has open.
    pub(crate) fn descriptors(&self) -> usize {
        common::descriptors(self.id())
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The first line on standard output.
    pub(crate) fn banner(&self) -> &str {
        &self.banner
    }

    /// The next line on standard output.
    pub(crate) fn line(&self) -> String {
        self.stdout.recv_timeout(TIMEOUT).expect("no further line")
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Sends one request on a new connection and reads the reply.
    pub(crate) fn ask(&self, request: impl AsRef<[u8]>) -> Reply {
        self.connect().ask(request)
    }

    pub(crate) fn get(&self, target: &str) -> Reply {
        self.connect().get(target)
    }

    /// Standard error so far, without the lines that depend on the user and the machine.
    pub(crate) fn log(&self) -> String {
        without_warnings(&self.log_with_warnings())
    }

    pub(crate) fn log_with_warnings(&self) -> String {
        String::from_utf8(fs::read(&self.stderr).unwrap()).expect("a log that is not UTF-8")
    }

    /// The lines on standard error, once there are `count` of them.
    #[track_caller]
    pub(crate) fn log_lines(&self, count: usize) -> Vec<String> {
        wait_until("the requests are logged", || {
            self.log().matches('\n').count() >= count
        });
        let lines: Vec<_> = self.log().lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), count, "{lines:#?}");
        lines
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until the process has ended.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for(&mut self.child)
    }

    /// Waits for the end of the process; returns its standard output after the banner, and its standard error.
    pub(crate) fn remaining_output(&mut self) -> String {
        self.wait();
        let stdout: Vec<_> = self.stdout.iter().collect();
        stdout.join("\n") + &self.log()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.stderr);
    }
}

/// Waits until `child` has ended; kills it where that takes too long.
fn wait_for(child: &mut Child) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if started.elapsed() > TIMEOUT {
            let _ = child.kill();
            panic!("the program did not end");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// The address in a banner: `Serving HTTP on 127.0.0.1 port 8000 (http://127.0.0.1:8000/) ...`, or the same with HTTPS.
/// That of a UNIX socket is 0.0.0.0:0.
fn address_in(banner: &str) -> SocketAddr {
    if banner.starts_with("Serving HTTP on unix:") {
        return ([0, 0, 0, 0], 0).into();
    }
    let url = banner.split(['(', ')']).nth(1).expect(banner);
    let (_, host) = url.trim_end_matches('/').split_once("://").expect(banner);
    host.replace("localhost", "127.0.0.1")
        .parse()
        .expect(banner)
}

fn lines(stdout: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

fn scratch_file() -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("httpoll-it-{}-{count}.log", std::process::id());
    std::env::temp_dir().join(name)
}
