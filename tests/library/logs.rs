//! A log file of a library server, and what a log entry tells a handler.

use std::fs;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, HttpServer, LogEntry, LogFile, LogFormat,
    MemoryServer, ServerConfig,
};

use crate::client::{Client, TIMEOUT};
use crate::handlers::send_text;
use crate::running::{Running, config, eventually};

struct Greeting;

impl BaseHttpRequestHandler for Greeting {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        exchange.log_message("a message");
        Ok(send_text(exchange, "hello")?)
    }
}

#[test]
fn a_renamed_file_is_opened_again_by_a_reload() {
    let directory = tempfile::tempdir().unwrap();
    let (path, old) = (directory.path().join("log"), directory.path().join("old"));
    let config = ServerConfig::default();
    let mut server = HttpServer::bind_with("127.0.0.1:0", Greeting, config).unwrap();
    let log_file = LogFile::open(&path).unwrap();
    assert_eq!(log_file.path(), path);
    server.log_to(log_file);
    let address = SocketAddr::from(([127, 0, 0, 1], server.server_port()));
    let handle = server.handle();
    let thread = thread::spawn(move || server.serve_forever());
    let mut client = Client::connect(address);
    client.get("/1");
    eventually(|| fs::read_to_string(&path).unwrap().contains("GET /1 "));
    fs::rename(&path, &old).unwrap();
    handle.reload();
    eventually(|| path.exists());
    client.get("/2");
    handle.shutdown();
    thread.join().unwrap().unwrap();
    let [old, new] = [&old, &path].map(|path| fs::read_to_string(path).unwrap());
    assert!(old.contains("GET /1 ") && !old.contains("GET /2 "), "{old}");
    assert!(new.contains("GET /2 ") && !new.contains("GET /1 "), "{new}");
    assert!(!old.contains("a message"), "messages go to standard error");
}

/// Tells what the entry of each request has.
struct Telling(mpsc::Sender<String>);

impl BaseHttpRequestHandler for Telling {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        Ok(send_text(exchange, "hello")?)
    }

    fn log_request(&mut self, entry: &LogEntry<'_>, _line: &mut Vec<u8>) {
        let shown = |text: Option<&[u8]>| {
            text.map_or("-".to_owned(), |text| String::from_utf8_lossy(text).into())
        };
        let texts = [
            entry.method(),
            entry.path(),
            entry.request_version().map(str::as_bytes),
            entry.host(),
            entry.request_id(),
            entry.trace_id(),
            entry.limited().map(str::as_bytes),
        ];
        let texts = texts.map(shown).join(" ");
        self.0
            .send(format!("{texts} {}", entry.loop_index()))
            .unwrap();
    }
}

#[test]
fn an_entry_has_its_details_with_json_lines_only() {
    let request = "GET /a?b HTTP/1.1\r\nHost: test:80\r\nX-Request-Id: 7f\r\n\
        traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n";
    for (format, expected) in [
        (
            LogFormat::Json,
            "GET /a?b HTTP/1.1 test:80 7f 4bf92f3577b34da6a3ce929d0e0e4736 - 0",
        ),
        (LogFormat::Combined, "- - - - - - - 0"),
    ] {
        let (sender, told) = mpsc::channel();
        let config = config().with(|config| config.log_format = format);
        let server = Running::with(config, || Telling(sender));
        let mut client = server.client();
        client.send(request).reply();
        assert_eq!(told.recv_timeout(TIMEOUT).unwrap(), expected);
        client.send("GET / HTTP/1.1\r\n\r\n").reply();
        assert_eq!(told.recv_timeout(TIMEOUT).unwrap(), "- - - - - - - 0");
    }
}

/// Finds a user, and replies from another thread.
struct Finding(mpsc::Sender<Option<String>>);

impl BaseHttpRequestHandler for Finding {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let user = exchange.query().next().map(|(_, user)| user.into_owned());
        if let Some(user) = user {
            exchange.set_user(&user);
        }
        let deferred = exchange.defer();
        thread::spawn(|| {
            deferred.answer(|exchange| {
                let user = exchange.user().unwrap_or("nobody").to_owned();
                exchange.send_text(200, user);
                Ok(())
            });
        });
        Ok(())
    }

    fn log_request(&mut self, entry: &LogEntry<'_>, _line: &mut Vec<u8>) {
        let user = entry
            .user()
            .map(|user| str::from_utf8(user).unwrap().to_owned());
        self.0.send(user).unwrap();
    }
}

#[test]
fn the_user_that_a_handler_finds_stays_that_of_its_deferred_reply() {
    let (sender, users) = mpsc::channel();
    let mut server = MemoryServer::new(Finding(sender));
    for (target, user) in [("/?user=alice", Some("alice")), ("/", None)] {
        let reply = server.respond(format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes());
        assert!(reply.ends_with(user.unwrap_or("nobody").as_bytes()));
        assert_eq!(users.recv().unwrap().as_deref(), user);
    }
}
