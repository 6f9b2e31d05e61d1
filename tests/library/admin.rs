//! The administration of a server of the library: what a handler says, and a loop that hangs.

use std::borrow::Cow;
use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, HttpServer, ServerConfig,
    SimpleHttpRequestHandler, ThreadingHttpServer,
};

use crate::client::{Client, get};

/// Sends `path` on a connection of its own; returns status line and body.
fn ask(address: SocketAddr, path: &str) -> (String, String) {
    let mut client = Client::connect(address);
    client.send(format!(
        "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
    ));
    let reply = String::from_utf8(client.rest()).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

fn figure(text: &str, series: &str) -> f64 {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value
        .unwrap_or_else(|| panic!("no {series} in {text}"))
        .parse()
        .unwrap()
}

/// A handler that is ready, not ready, or broken.
struct Moody(Arc<Mutex<Result<(), &'static str>>>);

impl BaseHttpRequestHandler for Moody {
    fn check_ready(&mut self) -> Result<(), Cow<'static, str>> {
        let mood = *lock(&self.0);
        assert_ne!(mood, Err("panic"), "expected in this test");
        mood.map_err(Cow::Borrowed)
    }
}

#[test]
fn a_handler_says_whether_it_is_ready() {
    let mood = Arc::new(Mutex::new(Ok(())));
    let mut server = HttpServer::bind("127.0.0.1:0", Moody(Arc::clone(&mood))).unwrap();
    let admin = server.bind_admin("127.0.0.1:0").unwrap()[0];
    let handle = server.handle();
    let running = thread::spawn(move || server.serve_forever());
    for (now, status, body) in [
        (Ok(()), "HTTP/1.1 200 OK", "ok\n"),
        (
            Err("no database"),
            "HTTP/1.1 503 Service Unavailable",
            "no database\n",
        ),
        (
            Err("panic"),
            "HTTP/1.1 503 Service Unavailable",
            "the check of the handler panicked\n",
        ),
        (Ok(()), "HTTP/1.1 200 OK", "ok\n"),
    ] {
        *lock(&mood) = now;
        assert_eq!(ask(admin, "/readyz"), (status.to_owned(), body.to_owned()));
    }
    handle.shutdown();
    running.join().unwrap().unwrap();
}

/// A site with files and a database.
struct Site {
    files: SimpleHttpRequestHandler,
    has_database: Arc<AtomicBool>,
}

impl BaseHttpRequestHandler for Site {
    fn check_ready(&mut self) -> Result<(), Cow<'static, str>> {
        self.files.check_ready()?;
        let has_database = self.has_database.load(Ordering::Acquire);
        has_database.then_some(()).ok_or("no database".into())
    }
}

#[test]
fn a_handler_asks_the_one_that_it_passes_requests_on_to() {
    for file_threads in [0, 1] {
        let dir = tempfile::tempdir().unwrap();
        let served = dir.path().join("served");
        fs::create_dir(&served).unwrap();
        let has_database = Arc::new(AtomicBool::new(true));
        let site = Site {
            files: SimpleHttpRequestHandler::new(&served).unwrap(),
            has_database: Arc::clone(&has_database),
        };
        let config = ServerConfig::default().with(|config| config.file_threads = file_threads);
        let mut server = HttpServer::bind_with("127.0.0.1:0", site, config).unwrap();
        let admin = server.bind_admin("127.0.0.1:0").unwrap()[0];
        let handle = server.handle();
        let running = thread::spawn(move || server.serve_forever());
        let readiness = || ask(admin, "/readyz").1;
        assert_eq!(readiness(), "ok\n");
        fs::remove_dir(&served).unwrap();
        let gone = "No such file or directory (os error 2)\n";
        assert_eq!(
            readiness(),
            format!("cannot serve {}: {gone}", served.display())
        );
        fs::create_dir(&served).unwrap();
        has_database.store(false, Ordering::Release);
        assert_eq!(readiness(), "no database\n");
        has_database.store(true, Ordering::Release);
        assert_eq!(readiness(), "ok\n");
        handle.shutdown();
        running.join().unwrap().unwrap();
    }
}

/// Takes the lock. No handler panics while it has the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

/// Hangs in the second loop at `/hang`, until it is released.
#[derive(Clone)]
struct Hanging {
    hangs: Arc<AtomicBool>,
    is_released: Arc<AtomicBool>,
}

impl BaseHttpRequestHandler for Hanging {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        if exchange.path() == "/hang" && thread::current().name() == Some("httpoll-1") {
            self.hangs.store(true, Ordering::Release);
            while !self.is_released.load(Ordering::Acquire) {
                thread::sleep(Duration::from_millis(1));
            }
        }
        exchange.send_text(200, "hello");
        Ok(())
    }
}

#[test]
fn figures_of_a_loop_that_hangs_are_kept_and_grow_old() {
    let handler = Hanging {
        hangs: Arc::default(),
        is_released: Arc::default(),
    };
    let (hangs, is_released) = (Arc::clone(&handler.hangs), Arc::clone(&handler.is_released));
    let loops = NonZeroUsize::new(2).unwrap();
    let mut server = ThreadingHttpServer::bind("127.0.0.1:0", handler, loops).unwrap();
    let site = server.server_addresses()[0];
    let admin = server.bind_admin("127.0.0.1:0").unwrap()[0];
    let handle = server.handle();
    let running = thread::spawn(move || server.serve_forever());
    let mut requests = 0;
    // The kernel spreads connections over both loops.
    for _ in 0..40 {
        Client::connect(site).get("/");
        requests += 1;
    }
    let before = ask(admin, "/metrics").1;
    let all = "httpoll_requests_total{method=\"GET\",code=\"2xx\"}";
    assert_eq!(figure(&before, all), f64::from(requests));
    let mut clients = Vec::new();
    while !hangs.load(Ordering::Acquire) {
        let mut client = Client::connect(site);
        client.send(get("/hang"));
        clients.push(client);
        thread::sleep(Duration::from_millis(5));
    }
    ask(admin, "/metrics");
    let during = ask(admin, "/metrics").1;
    assert!(figure(&during, all) >= figure(&before, all));
    let age = |number| {
        let series = format!("httpoll_loop_figures_age_seconds{{loop=\"{number}\"}}");
        figure(&during, &series)
    };
    assert!(
        age(2) > 0.15,
        "two scrapes have waited 0.1 s each: {}",
        age(2)
    );
    assert!(age(1) < age(2));
    is_released.store(true, Ordering::Release);
    handle.shutdown();
    running.join().unwrap().unwrap();
}
