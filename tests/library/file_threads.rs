//! Servers with threads for files. Their replies are those of a server whose loop waits for files itself. Files below /proc and /sys
//! are on file systems that are not known to be local, so a thread looks up and reads each of them.

use std::fs;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, HttpServer, HttpStatus, MemoryServer,
    ServerConfig, SimpleHttpRequestHandler, ThreadingHttpServer,
};
use tempfile::TempDir;

use crate::client::{Client, Framing, Reply, find, get};
use crate::handlers::send_text;
use crate::running::{Running, config, eventually};

/// A directory that each kernel has, with small files and with a directory.
const KERNEL: &str = "/proc/sys/kernel";

fn with_threads(count: usize) -> ServerConfig {
    config().with(|config| config.file_threads = count)
}

fn kernel() -> SimpleHttpRequestHandler {
    SimpleHttpRequestHandler::new(KERNEL).unwrap()
}

/// Serves with `count` threads for files. The server is first, because the client is to be dropped before it.
fn serve<H: BaseHttpRequestHandler>(
    count: usize,
    handler: impl FnOnce() -> H + Send + 'static,
) -> (Running, Client) {
    let server = Running::with(with_threads(count), handler);
    let client = server.client();
    (server, client)
}

/// How many threads of this process have this name.
fn count_threads(name: &str) -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|found| found.trim_end() == name).count()
}

/// The requests that must get the same reply with threads and without.
fn requests() -> Vec<(&'static str, String)> {
    let plain = |target: &str| ("GET", get(target));
    let with = |method: &'static str, target: &str, field: &str| {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n{field}\r\n");
        (method, request)
    };
    vec![
        plain("/small.txt"),
        plain("/empty"),
        plain("/medium"),
        plain("/large"),
        plain("/none"),
        plain("/small.txt/"),
        plain("/small.txt/x"),
        plain("/sub"),
        plain("/sub/"),
        plain("/page/"),
        plain("/"),
        plain("/.hidden"),
        plain("/%00"),
        plain("/link"),
        plain("/outside"),
        plain("/secret"),
        with("GET", "/", "Accept: application/json\r\n"),
        with("GET", "/sub/?C=S&O=D", ""),
        with("HEAD", "/large", ""),
        with("HEAD", "/sub/", ""),
        with("GET", "/large", "Range: bytes=5-70000\r\n"),
        with("GET", "/small.txt", "Range: bytes=1-2\r\n"),
        with("GET", "/small.txt", "Range: bytes=9-\r\n"),
        with("GET", "/small.txt", "If-None-Match: *\r\n"),
        with("GET", "/small.txt", "If-Match: \"x\"\r\n"),
        with("POST", "/small.txt", "Content-Length: 0\r\n"),
    ]
}

fn site() -> TempDir {
    let site = tempfile::tempdir().unwrap();
    let root = site.path();
    fs::create_dir(root.join("sub")).unwrap();
    fs::create_dir(root.join("page")).unwrap();
    for number in 0..20 {
        fs::write(root.join(format!("sub/{number}")), vec![b'x'; number]).unwrap();
    }
    fs::write(root.join("page/index.html"), "a page").unwrap();
    fs::write(root.join("small.txt"), "small").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("medium"), vec![b'm'; 40_000]).unwrap();
    fs::write(root.join("large"), b"0123456789".repeat(300_000)).unwrap();
    fs::write(root.join(".hidden"), "hidden").unwrap();
    symlink("small.txt", root.join("link")).unwrap();
    symlink("/etc/passwd", root.join("outside")).unwrap();
    // The entity tag of a large file that has just changed has the present time in it.
    let large = fs::File::open(root.join("large")).unwrap();
    large
        .set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000_000))
        .unwrap();
    site
}

/// The head without the field that says when it was made.
fn undated(reply: &Reply) -> String {
    let lines = reply.head.lines();
    lines
        .filter(|line| !line.starts_with("Date: "))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[track_caller]
fn assert_same(reply: &Reply, expected: &Reply, request: &str) {
    assert_eq!(undated(reply), undated(expected), "{request}");
    assert_same_but_for_times(reply, expected, request);
}

/// Compares replies with a file of the kernel, which may get another mtime whenever it is looked up.
#[track_caller]
fn assert_same_but_for_times(reply: &Reply, expected: &Reply, request: &str) {
    assert_eq!(reply.status, expected.status, "{request}");
    for name in ["content-type", "content-length", "content-range"] {
        assert_eq!(reply.field(name), expected.field(name), "{request}");
    }
    assert_eq!(reply.framing, expected.framing, "{request}");
    assert!(reply.body == expected.body, "{request}");
}

/// Asks both servers several times: what a thread has looked up once may be in memory the next time.
#[track_caller]
fn assert_same_replies(
    client: &mut Client,
    other: &mut Client,
    requests: &[(&'static str, String)],
) {
    for _ in 0..3 {
        for (method, request) in requests {
            let expected = other.send(request).reply_to(method);
            let reply = client.send(request).reply_to(method);
            assert_same(&reply, &expected, request);
        }
    }
}

#[test]
fn replies_are_the_same_with_threads_and_without() {
    let site = site();
    let handler = || {
        let path = site.path().to_owned();
        move || SimpleHttpRequestHandler::new(path).unwrap()
    };
    let (_first, mut without) = serve(0, handler());
    let (_second, mut with) = serve(2, handler());
    assert_same_replies(&mut with, &mut without, &requests());
    // All at once: replies come in the order of their requests.
    let (_server, mut client) = serve(2, handler());
    let all: String = requests().into_iter().map(|(_, request)| request).collect();
    client.send(all);
    for (method, request) in requests() {
        let expected = without.send(&request).reply_to(method);
        assert_same(&client.reply_to(method), &expected, &request);
    }
}

#[test]
fn files_that_only_threads_read_get_the_same_replies() {
    let with = |method: &'static str, target: &str, field: &str| {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n{field}\r\n");
        (method, request)
    };
    let requests = [
        with("GET", "/ostype", ""),
        with("HEAD", "/ostype", ""),
        with("GET", "/ostype", "Range: bytes=1-2\r\n"),
        with("GET", "/ostype", "Range: bytes=0-0,2-3\r\n"),
        with("GET", "/ostype", "If-Match: \"x\"\r\n"),
        with("GET", "/none", ""),
        with("GET", "/ostype/", ""),
        with("GET", "/random", ""),
        with("GET", "/random/boot_id", ""),
        with("GET", "/random/none", ""),
    ];
    let (_first, mut without) = serve(0, kernel);
    let (_second, mut threads) = serve(2, kernel);
    let expected = fs::read(Path::new(KERNEL).join("ostype")).unwrap();
    assert_eq!(threads.get("/ostype").body, expected);
    // The boundary between several ranges is another one each time.
    for (method, request) in &requests {
        let reply = threads.send(request).reply_to(method);
        let other = without.send(request).reply_to(method);
        assert_eq!(reply.status, other.status, "{request}");
        if !request.contains(",") {
            assert_same_but_for_times(&reply, &other, request);
        }
    }
}

#[test]
fn listings_that_only_threads_read_have_the_same_names() {
    let names = |client: &mut Client, target: &str| {
        let fields = "Accept: application/json\r\n";
        let request = format!("GET {target} HTTP/1.1\r\nHost: test\r\n{fields}\r\n");
        let reply = client.send(request).reply();
        assert_eq!(reply.status, 200, "{target}");
        let parts = reply.text().split("\"name\":");
        let name = |part: &str| part.split('"').nth(1).unwrap().to_owned();
        parts.skip(1).map(name).collect::<Vec<_>>()
    };
    let (_first, mut without) = serve(0, kernel);
    let (_second, mut threads) = serve(2, kernel);
    for target in ["/", "/random/", "/?C=N&O=D", "/"] {
        let found = names(&mut threads, target);
        assert!(found.len() > 3, "{found:?}");
        assert_eq!(found, names(&mut without, target), "{target}");
    }
}

/// Reads a file of unknown length, which is larger than one piece and than what is kept in memory.
#[test]
fn a_large_file_of_unknown_length_is_read_by_threads() {
    let expected = fs::read("/proc/kallsyms").unwrap();
    let proc = || SimpleHttpRequestHandler::new("/proc").unwrap();
    let (_server, mut client) = serve(2, proc);
    for _ in 0..2 {
        let reply = client.get("/kallsyms");
        assert_eq!((reply.status, reply.framing), (200, Framing::Chunked));
        assert!(reply.body == expected);
    }
    let head = "HEAD /kallsyms HTTP/1.1\r\nHost: test\r\n\r\n";
    assert_eq!(client.send(head).reply_to("HEAD").status, 200);
    let old = "GET /kallsyms HTTP/1.0\r\n\r\n";
    let reply = client.send(old).reply();
    assert_eq!(reply.framing, Framing::Close);
    assert!(reply.body == expected);
}

#[test]
fn a_large_file_of_known_length_is_read_by_threads() {
    let path = Path::new("/sys/kernel/btf/vmlinux");
    let Ok(expected) = fs::read(path) else {
        eprintln!("skipped: this kernel has no {}", path.display());
        return;
    };
    let handler = move || SimpleHttpRequestHandler::new(path.parent().unwrap()).unwrap();
    let (_first, mut without) = serve(0, handler);
    let (_second, mut threads) = serve(2, handler);
    let range = |ranges: &str| {
        format!("GET /vmlinux HTTP/1.1\r\nHost: test\r\nRange: bytes={ranges}\r\n\r\n")
    };
    let requests = [
        ("GET", get("/vmlinux")),
        ("HEAD", get("/vmlinux").replace("GET", "HEAD")),
        ("GET", range("70000-200000")),
        ("GET", range("-1")),
        ("GET", range("999999999999-")),
    ];
    for (method, request) in &requests {
        let expected = without.send(request).reply_to(method);
        let reply = threads.send(request).reply_to(method);
        assert_same_but_for_times(&reply, &expected, request);
    }
    assert!(threads.get("/vmlinux").body == expected);
    let several = threads.send(range("0-9,100000-300000")).reply();
    assert_eq!(several.status, 206);
    let parts = [&expected[..10], &expected[100_000..=300_000]];
    for part in parts {
        assert!(find(&several.body, part).is_some(), "{} bytes", part.len());
    }
}

/// The name that only a thread of the servers of the next test has.
const LAST: &str = "httpoll-file-10";

#[test]
fn the_threads_start_and_end_with_the_server_and_are_shared_by_its_loops() {
    let mut server = HttpServer::bind_with("127.0.0.1:0", kernel(), with_threads(11)).unwrap();
    assert_eq!(count_threads(LAST), 0);
    for _ in 0..2 {
        server.turn(Some(Duration::ZERO)).unwrap();
        eventually(|| count_threads(LAST) == 1);
    }
    drop(server);
    eventually(|| count_threads(LAST) == 0);

    let loops = NonZeroUsize::new(3).unwrap();
    let server =
        ThreadingHttpServer::bind_with("127.0.0.1:0", kernel(), with_threads(11), loops).unwrap();
    let (address, handle) = (server.server_addresses()[0], server.handle());
    assert_eq!(count_threads(LAST), 0);
    thread::scope(|scope| {
        scope.spawn(|| server.serve_forever().unwrap());
        for _ in 0..20 {
            let mut client = Client::connect(address);
            assert_eq!(client.get("/ostype").status, 200);
            assert_eq!(client.get("/none").status, 404);
        }
        eventually(|| count_threads(LAST) == 1);
        handle.shutdown();
    });
    eventually(|| count_threads(LAST) == 0);
}

#[test]
fn a_server_has_no_threads_unless_they_are_asked_for() {
    assert_eq!(ServerConfig::default().file_threads, 0);
    // A server in memory has no loop that could wait for a thread.
    let mut server = MemoryServer::with_config(kernel(), with_threads(9));
    let bytes = server.respond([get("/ostype"), get("/none")].concat().as_bytes());
    let replies = Reply::all(&bytes, &["GET", "GET"]);
    assert_eq!([replies[0].status, replies[1].status], [200, 404]);
    assert_eq!(replies[0].text(), "Linux\n");
}

/// Answers some paths itself, one of them with a listing, and leaves the others to the static handler.
struct Site {
    files: SimpleHttpRequestHandler,
}

impl BaseHttpRequestHandler for Site {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        match exchange.path() {
            "/api" => Ok(send_text(exchange, "from the api")?),
            "/list" => Ok(self.files.list_directory(exchange, Path::new("random"))?),
            "/list-none" => Ok(self.files.list_directory(exchange, Path::new("none"))?),
            "/list-file" => Ok(self.files.list_directory(exchange, Path::new("ostype"))?),
            _ => self.files.do_get(exchange),
        }
    }

    fn do_head(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.do_get(exchange)
    }

    fn error_message_format(&self, _status: HttpStatus) -> Option<String> {
        Some("our own %(code)d".to_owned())
    }
}

#[test]
fn a_handler_that_wraps_the_files_works_with_threads() {
    let (_server, mut client) = serve(2, || Site { files: kernel() });
    client.send(["/api", "/ostype", "/none", "/api"].map(get).concat());
    let replies = [(); 4].map(|()| client.reply());
    assert_eq!(
        replies.each_ref().map(|reply| reply.status),
        [200, 200, 404, 200]
    );
    assert_eq!(replies[0].text(), "from the api");
    assert_eq!(replies[1].text(), "Linux\n");
    assert_eq!(replies[2].text(), "our own 404");
    let reply = client.send("HEAD /ostype HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(reply.reply_to("HEAD").field("content-length"), Some("6"));
}

#[test]
fn a_handler_that_wraps_the_files_may_list_any_directory() {
    let (_first, mut without) = serve(0, || Site { files: kernel() });
    let (_second, mut with) = serve(2, || Site { files: kernel() });
    for client in [&mut without, &mut with] {
        let reply = client.get("/list");
        assert_eq!(reply.status, 200);
        assert!(reply.text().contains("boot_id"), "{}", reply.text());
    }
    // Without threads the wrapper gets the error, and does not handle it. With threads the handler has returned before.
    for (path, status) in [("/list-none", 404), ("/list-file", 404)] {
        assert_eq!(without.get(path).status, 500);
        assert_eq!(with.get(path).status, status, "{path}");
    }
}

/// A directory with links to files that only threads read.
fn links() -> TempDir {
    let site = tempfile::tempdir().unwrap();
    fs::create_dir(site.path().join("start")).unwrap();
    for name in ["x.zig", "x.txt", "x", "start/start.htm", "start/index.html"] {
        let path = site.path().join(name);
        symlink(Path::new(KERNEL).join("ostype"), path).unwrap();
    }
    symlink(Path::new(KERNEL).join("random"), site.path().join("random")).unwrap();
    site
}

#[test]
fn what_the_owner_has_set_holds_for_what_a_thread_has_looked_up() {
    let site = links();
    let path = site.path().to_owned();
    let (_server, mut client) = serve(2, move || {
        let mut files = SimpleHttpRequestHandler::following_symlinks(path).unwrap();
        files.index_pages = vec!["none".to_owned(), "start.htm".to_owned()];
        let zig = ("text/x-zig".to_owned(), "text/x-own".to_owned());
        files.extensions_map = [(".zig".to_owned(), zig.0), (".own".to_owned(), zig.1)].into();
        files.default_content_type = "application/x-default".to_owned();
        files.set_guess_type(|path| path.ends_with("x.txt").then(|| "text/x-guessed".to_owned()));
        files.set_list_directory(|exchange, path| {
            exchange.send_response(200);
            exchange.send_header("X-Listed", path.to_str().unwrap());
            exchange.end_headers();
            exchange.wfile().write_all(b"our own listing")
        });
        files
    });
    for _ in 0..2 {
        for (path, media_type) in [
            ("/x.zig", "text/x-zig"),
            ("/x.txt", "text/x-guessed"),
            ("/x", "application/x-default"),
            ("/start/", "text/html"),
        ] {
            let reply = client.get(path);
            assert_eq!((reply.status, reply.text()), (200, "Linux\n"), "{path}");
            let found = reply.field("content-type").unwrap();
            assert!(found.starts_with(media_type), "{path}: {found}");
        }
        let reply = client.get("/random/");
        assert_eq!(reply.text(), "our own listing");
        assert_eq!(reply.field("x-listed"), Some("random"));
    }
}

#[test]
fn directories_are_not_listed_by_threads_either_if_the_owner_wants_none() {
    let site = links();
    let path = site.path().to_owned();
    let (_server, mut client) = serve(2, move || {
        let mut files = SimpleHttpRequestHandler::following_symlinks(path).unwrap();
        files.list_directories = false;
        files
    });
    for _ in 0..2 {
        assert_eq!(client.get("/random/").status, 403);
        assert_eq!(client.get("/random").status, 301);
        assert_eq!(client.get("/start/").text(), "Linux\n");
    }
}
