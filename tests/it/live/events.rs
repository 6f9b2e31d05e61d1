//! The events that tell open pages of changes.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use super::{LINE, assert_line_with_tag, load, serve, site};
use crate::support::{Client, Server, TIMEOUT, command, request, wait_until};

/// A page that listens to events.
struct Page(Client);

impl Page {
    fn open(server: &Server) -> Self {
        let mut client = server.connect();
        client.send(request(
            "GET",
            "/.httpoll/live",
            &["Accept: text/event-stream"],
        ));
        let head = client.read_head();
        assert_eq!(head.status, 200);
        assert_eq!(head.field("Content-Type"), Some("text/event-stream"));
        assert_eq!(head.field("Cache-Control"), Some("no-store"));
        assert!(head.is_chunked());
        let mut page = Self(client);
        page.expect("retry: 500\n\n");
        page
    }

    /// Reads one event, which is a chunk of its own.
    #[track_caller]
    fn expect(&mut self, event: &str) {
        let chunk = format!("{:08x}\r\n{event}\r\n", event.len());
        let read = self.0.take(chunk.len());
        assert_eq!(String::from_utf8(read).unwrap(), chunk);
    }

    #[track_caller]
    fn expect_change(&mut self) {
        self.expect("data: changed\n\n");
    }

    /// Reads events until there are no more: one change may be several events.
    fn skip_events(&mut self) {
        while self.has_event() {
            self.expect_change();
        }
    }

    /// Whether an event comes soon.
    fn has_event(&self) -> bool {
        let stream = self.0.stream();
        let soon = Duration::from_millis(300);
        stream.set_read_timeout(Some(soon)).unwrap();
        let has_event = stream.peek(&mut [0]).is_ok();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        has_event
    }
}

#[test]
fn the_404_of_a_site_recovers_by_itself() {
    let site = site();
    site.file("_headers", "/*\n  X-A: b\n");
    let server = serve(&site, &["--site"]);
    let reply = load(&server, "/missing");
    assert_eq!((reply.status(), reply.field("X-A")), (404, Some("b")));
    assert_line_with_tag(&reply);
    site.file("404.html", "<p>not here</p>");
    let reply = load(&server, "/missing");
    assert_eq!(reply.text(), format!("<p>not here</p>{LINE}"));
    let mut page = Page::open(&server);
    site.file("missing.html", "now");
    page.expect_change();
    assert_eq!(server.get("/missing").text(), format!("now{LINE}"));
}

#[test]
fn changes_are_told() {
    let site = site();
    let server = serve(&site, &[]);
    for target in [
        "/page.html",
        "/style.css",
        "/missing.html",
        "/list/",
        "/docs/",
    ] {
        load(&server, target);
    }
    let mut page = Page::open(&server);
    let changes: [(&str, &dyn Fn()); 9] = [
        ("/page.html", &|| {
            site.file("page.html", "changed");
        }),
        ("/style.css", &|| {
            site.file("style.css", "b {}");
        }),
        ("/missing.html", &|| {
            site.file("missing.html", "there");
        }),
        ("/missing.html", &|| {
            fs::remove_file(site.at("missing.html")).unwrap();
        }),
        ("/list/", &|| {
            site.file("list/b.txt", "b");
        }),
        ("/list/", &|| {
            fs::remove_file(site.at("list/b.txt")).unwrap();
        }),
        ("/list/", &|| {
            site.file("list/a.txt", "longer");
        }),
        ("/docs/", &|| {
            site.file("new", "new index");
            fs::rename(site.at("new"), site.at("docs/index.html")).unwrap();
        }),
        ("/docs/", &|| {
            site.file("docs/index.html", "in place");
        }),
    ];
    for (target, change) in changes {
        load(&server, target);
        page.skip_events();
        change();
        page.expect_change();
    }
}

#[test]
fn changes_in_a_row_are_all_told() {
    let site = site();
    let server = serve(&site, &[]);
    let mut page = Page::open(&server);
    for content in ["one", "two", "three", "four"] {
        load(&server, "/page.html");
        page.skip_events();
        site.file("page.html", content);
        page.expect_change();
    }
}

/// The loop finds the request and the change in the same turn.
#[test]
fn a_change_that_comes_with_a_request_is_told() {
    let site = site();
    let server = serve(&site, &[]);
    let mut page = Page::open(&server);
    let mut client = server.connect();
    for content in ["one", "two", "three"] {
        load(&server, "/page.html");
        client.get("/style.css");
        page.skip_events();
        server.signal(Signal::STOP);
        site.file("page.html", content);
        client.send(request("GET", "/page.html", &[]));
        server.signal(Signal::CONT);
        let reply = client.read_reply();
        assert_eq!(reply.text(), format!("{content}{LINE}"));
        page.expect_change();
    }
}

#[test]
fn a_page_is_told_by_whichever_loop_it_has_reached() {
    let site = site();
    let server = serve(&site, &["-n", "2"]);
    load(&server, "/page.html");
    let mut pages: Vec<_> = (0..16).map(|_| Page::open(&server)).collect();
    site.file("page.html", "changed");
    for page in &mut pages {
        page.expect_change();
    }
}

/// Allows as many descriptors as possible, to this process and the servers that it starts from now on.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.maximum;
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
}

#[test]
fn a_thousand_pages_are_told() {
    raise_descriptor_limit();
    let site = site();
    let server = serve(&site, &["-q"]);
    load(&server, "/page.html");
    let mut pages: Vec<_> = (0..1000).map(|_| Page::open(&server)).collect();
    site.file("page.html", "changed");
    for page in &mut pages {
        page.expect_change();
    }
    pages.truncate(10);
    load(&server, "/page.html");
    site.file("page.html", "again");
    for page in &mut pages {
        page.expect_change();
    }
    wait_until("the closed pages are forgotten", || {
        server.descriptors() < 100
    });
}

#[test]
fn an_idle_page_is_not_closed() {
    let site = site();
    let server = serve(&site, &["--keep-alive", "1"]);
    load(&server, "/page.html");
    let mut page = Page::open(&server);
    sleep(Duration::from_millis(2500));
    load(&server, "/page.html");
    site.file("page.html", "changed");
    page.expect_change();
}

#[test]
fn the_server_ends_with_open_pages() {
    for signal in [Signal::TERM, Signal::INT] {
        for options in [&[][..], &["-n", "2"]] {
            let mut server = serve(&site(), options);
            let mut pages: Vec<_> = (0..3).map(|_| Page::open(&server)).collect();
            server.signal(signal);
            server.wait();
            for page in &mut pages {
                page.0.count_to_end();
            }
        }
    }
}

#[test]
fn only_this_machine_sees_live_pages_unless_told_otherwise() {
    let site = site();
    let root = site.root();
    let options = ["0", "--live", "-d", root.to_str().unwrap()];
    let server = Server::spawn(command(&options));
    assert!(server.address().ip().is_loopback(), "{}", server.banner());
    assert!(!server.banner().contains("0.0.0.0"), "{}", server.banner());
    let everywhere = Server::spawn(command(&[&options[..], &["-b", "0.0.0.0"]].concat()));
    assert!(
        everywhere.banner().contains("0.0.0.0"),
        "{}",
        everywhere.banner()
    );
}
