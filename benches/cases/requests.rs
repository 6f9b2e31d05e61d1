//! Complete requests: one turn of a real server in which 64 connections send one request each, or four connections send
//! sixteen each. A turn under load has about as many requests, so the cost of the turn itself is shared realistically.
//!
//! The clients are sockets of the same thread. All send the same bytes, as clients of one kind do; `head/` measures the cost of
//! a different head. The work of the clients and of the kernel is not counted.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, HttpServer, HttpStatus, LogFormat,
    MemoryServer, ServerConfig, SimpleHttpRequestHandler,
};

use super::Case;

/// The number of requests in one turn.
pub(crate) const REQUESTS: usize = 64;

pub(crate) const BROWSER_ACCEPT: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7";

/// The fields that wrk and oha send, and those of a browser.
pub(crate) const WRK: &str = "Host: 127.0.0.1:8000\r\n";
pub(crate) const OHA: &str = "host: 127.0.0.1:8000\r\naccept: */*\r\nuser-agent: oha/1.4.5\r\n";
pub(crate) const BROWSER: &str = "Host: 127.0.0.1:8000\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    sec-ch-ua: \"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7\r\n\
    Sec-Fetch-Site: none\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-User: ?1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-US,en;q=0.9,de;q=0.8\r\n";

pub(crate) fn bytes(line: &str, fields: &str) -> Vec<u8> {
    format!("{line} HTTP/1.1\r\n{fields}\r\n").into_bytes()
}

/// Returns the served directory. It is created once, and its files are old enough to be cached.
pub(crate) fn site() -> PathBuf {
    let site = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench-site");
    if !site.join("list/file-0199.txt").exists() {
        fs::create_dir_all(site.join("list")).unwrap();
        fs::write(site.join("1k.html"), [b'x'; 1024]).unwrap();
        for number in 0..200 {
            let name = format!("list/file-{number:04}.txt");
            fs::write(site.join(name), vec![b'x'; number * 13]).unwrap();
        }
        sleep(Duration::from_millis(100));
    }
    // A file from an earlier run may be only on the disk.
    fs::read(site.join("1k.html")).unwrap();
    site
}

struct Turn<H> {
    server: HttpServer<H>,
    clients: Vec<TcpStream>,
    /// The bytes that each client sends: one or several requests.
    requests: Vec<u8>,
    status: &'static str,
    /// The number of bytes that each client receives for them.
    replies: usize,
    answered: u64,
    buffer: Vec<u8>,
}

impl<H: BaseHttpRequestHandler> Turn<H> {
    fn new(handler: H, log_format: LogFormat, clients: usize) -> Self {
        let config = ServerConfig::default().with(|config| config.log_format = log_format);
        let server = HttpServer::bind_with("127.0.0.1:0", handler, config).unwrap();
        let address = server.server_addresses()[0];
        let connect = |_| {
            let client = TcpStream::connect(address).unwrap();
            client.set_nodelay(true).unwrap();
            client
        };
        Self {
            clients: (0..clients).map(connect).collect(),
            server,
            requests: Vec::new(),
            status: "",
            replies: 0,
            answered: 0,
            buffer: vec![0; 1 << 20],
        }
    }

    /// Makes every client send `request` in each run; the replies must have `status`.
    fn with_request(mut self, request: &[u8], status: &'static str) -> Self {
        self.requests = request.repeat(REQUESTS / self.clients.len());
        self.status = status;
        self.replies = 0;
        self.before();
        self.run();
        // The first client measures the length of the replies.
        self.clients[0].set_nonblocking(true).unwrap();
        while let Ok(length) = self.clients[0].read(&mut self.buffer) {
            self.replies += length;
        }
        self.clients[0].set_nonblocking(false).unwrap();
        for client in &mut self.clients[1..] {
            client.read_exact(&mut self.buffer[..self.replies]).unwrap();
        }
        for _ in 0..4 {
            self.before();
            self.run();
            self.after();
        }
        self
    }
}

impl<H: BaseHttpRequestHandler> Case for Turn<H> {
    fn before(&mut self) {
        for client in &mut self.clients {
            client.write_all(&self.requests).unwrap();
        }
        self.answered = self.server.info().counters().requests;
    }

    fn run(&mut self) {
        while self.server.info().counters().requests < self.answered + REQUESTS as u64 {
            self.server.turn(Some(Duration::from_secs(1))).unwrap();
        }
    }

    fn after(&mut self) {
        for client in &mut self.clients {
            let replies = &mut self.buffer[..self.replies];
            client.read_exact(replies).unwrap();
            assert!(replies["HTTP/1.1 ".len()..].starts_with(self.status.as_bytes()));
        }
    }
}

fn files() -> Turn<SimpleHttpRequestHandler> {
    let handler = SimpleHttpRequestHandler::new(site()).unwrap();
    Turn::new(handler, LogFormat::None, REQUESTS)
}

fn get(target: &str, fields: &str, status: &'static str) -> Box<dyn Case> {
    Box::new(files().with_request(&bytes(&format!("GET {target}"), fields), status))
}

/// Asks for a file that the client already has.
fn revalidate() -> Box<dyn Case> {
    let handler = SimpleHttpRequestHandler::new(site()).unwrap();
    let reply = MemoryServer::new(handler).respond(&bytes("HEAD /1k.html", WRK));
    let reply = String::from_utf8(reply).unwrap();
    let tag = reply.lines().find_map(|line| line.strip_prefix("ETag: "));
    let fields = format!("{WRK}If-None-Match: {}\r\n", tag.unwrap());
    // Only a file that was sent before is cached.
    let turn = files().with_request(&bytes("GET /1k.html", WRK), "200");
    Box::new(turn.with_request(&bytes("GET /1k.html", &fields), "304"))
}

fn pipelined() -> Box<dyn Case> {
    let handler = SimpleHttpRequestHandler::new(site()).unwrap();
    let turn = Turn::new(handler, LogFormat::None, REQUESTS / 16);
    Box::new(turn.with_request(&bytes("GET /1k.html", WRK), "200"))
}

fn logged(format: LogFormat) -> Box<dyn Case> {
    // The lines go to a file, so that they do not mix with the results.
    let log = fs::File::create(site().with_extension("log")).unwrap();
    rustix::stdio::dup2_stderr(log).unwrap();
    let handler = SimpleHttpRequestHandler::new(site()).unwrap();
    let turn = Turn::new(handler, format, REQUESTS);
    Box::new(turn.with_request(&bytes("GET /1k.html", WRK), "200"))
}

/// Makes each listing differ from the last one, so that none comes from the cache.
struct ChangingListing(SimpleHttpRequestHandler);

impl BaseHttpRequestHandler for ChangingListing {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.0.dotfiles = !self.0.dotfiles;
        self.0.do_get(exchange)
    }
}

fn list(target: &str, fields: &str) -> Box<dyn Case> {
    let handler = ChangingListing(SimpleHttpRequestHandler::new(site()).unwrap());
    let turn = Turn::new(handler, LogFormat::None, REQUESTS);
    Box::new(turn.with_request(&bytes(&format!("GET {target}"), fields), "200"))
}

struct Echo;

impl BaseHttpRequestHandler for Echo {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        begin(exchange);
        Ok(exchange.wfile().write_all(b"Hello, world!\n")?)
    }

    fn reads_body(&self, _command: &str, _path: &str) -> bool {
        true
    }

    fn do_post(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let mut body = Vec::new();
        exchange.rfile().read_to_end(&mut body)?;
        begin(exchange);
        Ok(exchange.wfile().write_all(&body)?)
    }
}

fn begin(exchange: &mut Exchange<'_>) {
    exchange.send_response(HttpStatus::OK);
    exchange.send_header("Content-Type", "text/plain; charset=utf-8");
    exchange.end_headers();
}

fn handler(request: &[u8]) -> Box<dyn Case> {
    Box::new(Turn::new(Echo, LogFormat::None, REQUESTS).with_request(request, "200"))
}

fn post(fields: &str, body: &[u8]) -> Box<dyn Case> {
    handler(&[&bytes("POST /", &format!("{WRK}{fields}")), body].concat())
}

cases! {
    request:
    file_wrk => get("/1k.html", WRK, "200");
    file_oha => get("/1k.html", OHA, "200");
    file_browser => get("/1k.html", BROWSER, "200");
    file_head => Box::new(files().with_request(&bytes("HEAD /1k.html", WRK), "200"));
    file_pipelined => pipelined();
    file_logged => logged(LogFormat::Common);
    file_logged_json => logged(LogFormat::Json);
    file_range => get("/1k.html", &format!("{WRK}Range: bytes=100-199\r\n"), "206");
    not_modified => revalidate();
    not_found => get("/nothing", WRK, "404");
    not_found_browser => get("/nothing", BROWSER, "404");
    redirect => get("/list", WRK, "301");
    listing => list("/list/", BROWSER);
    listing_json => list("/list/?format=json", WRK);
    listing_shared => get("/list/", BROWSER, "200");
    hello => handler(&bytes("GET /", WRK));
    echo => post("Content-Length: 1024\r\n", &[b'x'; 1024]);
    echo_chunked => post("Transfer-Encoding: chunked\r\n", &[b"400\r\n", [b'x'; 1024].as_slice(), b"\r\n0\r\n\r\n"].concat());
}
