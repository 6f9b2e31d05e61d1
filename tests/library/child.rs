//! Servers in separate processes: the examples, and handlers whose memory or log the tests look at.

use std::env;
use std::ffi::OsStr;
use std::io::{self, BufReader, Read as _};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{self, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use httpoll::{
    BaseHttpRequestHandler, Exchange, Fill, HandlerResult, HttpServer, HttpStatus, ServerConfig,
    Source, ThreadingHttpServer,
};

use crate::client::{Client, TIMEOUT};
use crate::common;
use crate::confinement;
use crate::failing_loops::PanickingSource;
use crate::handlers::send_text;
use crate::listening_sockets::serve_blocking;

#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) process: process::Child,
    lines: BufReader<ChildStdout>,
    errors: Arc<Mutex<String>>,
    pub(crate) address: SocketAddr,
}

impl Child {
    /// Starts an example on a free port with more arguments.
    pub(crate) fn example(name: &str, arguments: &[&OsStr]) -> Self {
        Self::example_in(name, arguments, &[])
    }

    pub(crate) fn example_in(
        name: &str,
        arguments: &[&OsStr],
        environment: &[(&str, &str)],
    ) -> Self {
        let path = Path::new(env!("CARGO_BIN_EXE_httpoll"))
            .with_file_name("examples")
            .join(name);
        assert!(
            path.exists(),
            "no {}: `cargo build --examples` makes it",
            path.display()
        );
        let mut command = Command::new(path);
        command
            .arg("127.0.0.1:0")
            .args(arguments)
            .envs(environment.iter().copied());
        Self::start(&mut command)
    }

    /// Starts this test program again as a server with one of the handlers below.
    pub(crate) fn handler(name: &str) -> Self {
        Self::handler_for(name, Path::new(""))
    }

    /// Starts this test program again as a server with a handler that is given a directory.
    pub(crate) fn handler_for(name: &str, directory: &Path) -> Self {
        Self::handler_with(name, directory, &[])
    }

    /// Starts it with more variables in its environment.
    pub(crate) fn handler_with(name: &str, directory: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", "child::serve", "--ignored", "--nocapture"])
            .env("HTTPOLL_HANDLER", name)
            .env("HTTPOLL_DIRECTORY", directory)
            .envs(environment.iter().copied());
        Self::start(&mut command)
    }

    fn start(command: &mut Command) -> Self {
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let errors = Arc::new(Mutex::new(String::new()));
        let (sink, mut stderr) = (Arc::clone(&errors), process.stderr.take().unwrap());
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stderr.read(&mut buffer) {
                sink.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let address = next_address(&mut lines);
        Self {
            process,
            lines,
            errors,
            address,
        }
    }

    /// Reads the next address from the output of the program.
    pub(crate) fn next_address(&mut self) -> SocketAddr {
        next_address(&mut self.lines)
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// The memory of the process in KiB, by a key such as `VmHWM` (the most that it ever held).
    pub(crate) fn memory(&self, key: &str) -> u64 {
        common::memory(self.process.id(), key)
    }

    pub(crate) fn descriptors(&self) -> usize {
        common::descriptors(self.process.id())
    }

    /// Waits until standard error has `count` lines that contain `text`, and returns all of it.
    pub(crate) fn errors_with(&self, text: &str, count: usize) -> String {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let errors = self.errors.lock().unwrap().clone();
            // The last line may be incomplete.
            let whole = errors
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            if whole.filter(|line| line.contains(text)).count() >= count {
                return errors;
            }
            assert!(Instant::now() < deadline, "{text:?} not in {errors}");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn next_address(lines: &mut impl io::BufRead) -> SocketAddr {
    let mut line = String::new();
    loop {
        line.clear();
        assert_ne!(
            lines.read_line(&mut line).unwrap(),
            0,
            "the server did not start"
        );
        if let Some((_, url)) = line.split_once("://") {
            return url.trim_end().trim_end_matches('/').parse().unwrap();
        }
    }
}

#[test]
#[ignore = "a server for other tests, which start it in a process of its own"]
fn serve() {
    match env::var("HTTPOLL_HANDLER").as_deref() {
        Ok("discarding") => run(Discarding),
        Ok("failing") => run(Failing),
        Ok("endless") => run(EndlessStream),
        Ok("panicking source") => {
            let (address, loops) = ("127.0.0.1:0", NonZeroUsize::new(2).unwrap());
            let mut server = ThreadingHttpServer::bind(address, PanickingSource, loops).unwrap();
            server.shutdown_on_signals(|_| ()).unwrap();
            println!("\nhttp://{}/", server.server_addresses()[0]);
            server.serve_forever().unwrap();
        }
        Ok("blocking") => {
            serve_blocking(Path::new(&env::var_os("HTTPOLL_DIRECTORY").unwrap()));
        }
        Ok(name) if name.starts_with("trying") => {
            confinement::serve(name, Path::new(&env::var_os("HTTPOLL_DIRECTORY").unwrap()));
        }
        _ => {}
    }
}

fn run(handler: impl BaseHttpRequestHandler) {
    let config = ServerConfig::default().with(|config| config.max_body = 1 << 30);
    let mut server = HttpServer::bind_with("127.0.0.1:0", handler, config).unwrap();
    println!("\nhttp://{}/", server.info().addresses()[0]);
    server.serve_forever().unwrap();
}

/// Reads each body to its end, and answers with its length.
struct Discarding;

impl BaseHttpRequestHandler for Discarding {
    fn reads_body(&self, _command: &str, _path: &str) -> bool {
        true
    }

    fn do_post(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let length = io::copy(&mut exchange.rfile(), &mut io::sink())?;
        Ok(send_text(exchange, &length.to_string())?)
    }
}

struct Failing;

impl BaseHttpRequestHandler for Failing {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        match exchange.path() {
            "/error" => Err("it failed\nbadly".into()),
            "/panic" => panic!("expected in this test"),
            _ => Ok(send_text(exchange, "alive")?),
        }
    }
}

struct EndlessStream;

impl BaseHttpRequestHandler for EndlessStream {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        exchange.send_response(HttpStatus::OK);
        exchange.end_headers();
        exchange.stream(Box::new(Endless));
        Ok(())
    }
}

#[derive(Debug)]
struct Endless;

impl Source for Endless {
    fn fill(&mut self, out: &mut Vec<u8>) -> io::Result<Fill> {
        out.resize(out.len() + 16 * 1024, b'x');
        Ok(Fill::More)
    }
}
