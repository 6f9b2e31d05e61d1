//! A static handler resolves names at each request, also where its own server changes them; without confinement.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;
use std::time::Duration;

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, HttpStatus, MemoryServer, ServerConfig,
    SimpleHttpRequestHandler,
};

use crate::client::{Reply, get, put};

/// The time after which the server keeps replies about a file that has changed, and a little more.
const SETTLED: Duration = Duration::from_millis(120);

/// Stores the body of a PUT, by rename or in place, and passes GET to the static handler.
struct Stores {
    files: SimpleHttpRequestHandler,
    in_place: bool,
}

impl BaseHttpRequestHandler for Stores {
    fn reads_body(&self, _command: &str, _path: &str) -> bool {
        true
    }

    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.files.do_get(exchange)
    }

    fn do_put(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        let path = self
            .files
            .path()
            .unwrap()
            .join(exchange.path().trim_start_matches('/'));
        let mut content = Vec::new();
        io::Read::read_to_end(&mut exchange.rfile(), &mut content)?;
        if self.in_place {
            fs::write(path, content)?;
        } else {
            let new = path.with_extension("new");
            fs::write(&new, content)?;
            fs::rename(new, path)?;
        }
        exchange.send_response(HttpStatus::CREATED);
        exchange.end_headers();
        Ok(())
    }
}

fn only_reply(server: &mut MemoryServer<SimpleHttpRequestHandler>, path: &str) -> Reply {
    let bytes = server.respond(get(path).as_bytes());
    Reply::all(&bytes, &["GET"]).remove(0)
}

#[test]
fn a_pipelined_request_sees_what_the_one_before_it_has_stored() {
    for in_place in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let files = SimpleHttpRequestHandler::new(&directory).unwrap();
        let mut server = MemoryServer::new(Stores { files, in_place });
        let read = || get("/n").into_bytes();
        let mut ask = |requests: &[Vec<u8>], methods: &[&str]| {
            Reply::all(&server.respond(&requests.concat()), methods)
        };
        let requests = [read(), read(), put("/n", "first"), read()];
        let missing = ask(&requests, &["GET", "GET", "PUT", "GET"]);
        let statuses: Vec<_> = missing.iter().map(|reply| reply.status).collect();
        assert_eq!(statuses, [404, 404, 201, 200]);
        assert_eq!(missing[3].text(), "first");
        for round in 0..50 {
            let (old, new) = (format!("{round:05}"), format!("{:05}", round + 1));
            ask(&[put("/n", &old)], &["PUT"]);
            if round < 2 {
                thread::sleep(SETTLED);
            }
            let requests = [read(), read(), put("/n", &new), read(), read()];
            let replies = ask(&requests, &["GET", "GET", "PUT", "GET", "GET"]);
            let bodies: Vec<_> = replies.iter().map(Reply::text).collect();
            assert_eq!(
                bodies,
                [&*old, &*old, "", &*new, &*new],
                "in place: {in_place}"
            );
        }
    }
}

/// Writes a file anew for each request, and then passes the request to the static handler.
struct Makes {
    files: SimpleHttpRequestHandler,
    count: u32,
}

impl BaseHttpRequestHandler for Makes {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.count += 1;
        fs::write(
            self.files.path().unwrap().join("n"),
            format!("{:05}", self.count),
        )?;
        self.files.do_get(exchange)
    }
}

#[test]
fn a_file_written_by_the_handler_is_served_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let files = SimpleHttpRequestHandler::new(&directory).unwrap();
    let mut server = MemoryServer::new(Makes { files, count: 0 });
    for round in 0..20 {
        let bytes = server.respond(get("/n").repeat(10).as_bytes());
        let replies = Reply::all(&bytes, &["GET"; 10]);
        let expected: Vec<_> = (1..=10)
            .map(|index| format!("{:05}", round * 10 + index))
            .collect();
        let bodies: Vec<_> = replies.iter().map(Reply::text).collect();
        assert_eq!(bodies, expected);
    }
}

/// A server that has been asked often enough to keep its replies.
fn warm_server(handler: SimpleHttpRequestHandler) -> MemoryServer<SimpleHttpRequestHandler> {
    let mut server = MemoryServer::new(handler);
    for path in ["/i", "/none", "/"].repeat(3) {
        server.respond(get(path).as_bytes());
    }
    server
}

fn fill(directory: &Path, content: &str) {
    fs::create_dir_all(directory).unwrap();
    fs::write(directory.join("i"), content).unwrap();
}

#[test]
fn parents_of_the_served_directory_may_be_exchanged() {
    for depth in ["a", "a/b", "a/b/p"] {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        fill(&at("a/b/p"), "1");
        let mut server = warm_server(SimpleHttpRequestHandler::new(at("a/b/p")).unwrap());
        fs::rename(at(depth), at("old")).unwrap();
        for path in ["/i", "/"] {
            assert_eq!(only_reply(&mut server, path).status, 404);
        }
        for path in ["new", "new/p", "new/b/p"] {
            fill(&at(path), "2");
        }
        fs::rename(at("new"), at(depth)).unwrap();
        for _ in 0..3 {
            assert_eq!(only_reply(&mut server, "/i").text(), "2", "{depth}");
        }
        fs::rename(at(depth), at("new")).unwrap();
        symlink(at("old"), at(depth)).unwrap();
        for _ in 0..3 {
            assert_eq!(only_reply(&mut server, "/i").text(), "1", "{depth}");
        }
    }
}

#[test]
fn a_pinned_directory_is_served_wherever_it_is_moved() {
    let directory = tempfile::tempdir().unwrap();
    let at = |path: &str| directory.path().join(path);
    fill(&at("p"), "1");
    let handler = SimpleHttpRequestHandler::pinned(File::open(at("p")).unwrap());
    assert_eq!(handler.path(), None);
    let mut server = warm_server(handler);
    fs::rename(at("p"), at("moved")).unwrap();
    fill(&at("p"), "another");
    for _ in 0..3 {
        assert_eq!(only_reply(&mut server, "/i").text(), "1");
        assert_eq!(only_reply(&mut server, "/none").status, 404);
    }
    fill(&at("moved"), "2");
    fs::write(at("moved/none"), "3").unwrap();
    assert_eq!(only_reply(&mut server, "/i").text(), "2");
    assert_eq!(only_reply(&mut server, "/none").text(), "3");
}

#[test]
fn a_relative_path_is_made_absolute() {
    let handler = SimpleHttpRequestHandler::new("./src/../src").unwrap();
    let path = handler.path().unwrap();
    assert!(
        path.is_absolute() && path.ends_with("src/../src"),
        "{path:?}"
    );
    let file = SimpleHttpRequestHandler::new("Cargo.toml").unwrap();
    assert!(file.path().unwrap().ends_with("Cargo.toml"));
}

#[test]
fn files_are_served_without_room_in_the_cache() {
    for cache_bytes in [0, 1000, 20_000] {
        let directory = tempfile::tempdir().unwrap();
        let handler = SimpleHttpRequestHandler::new(&directory).unwrap();
        let config = ServerConfig::default().with(|config| {
            config.tuning.cache_bytes = cache_bytes;
            config.tuning.cache_descriptors = 0;
        });
        let mut server = MemoryServer::with_config(handler, config);
        for number in 0..60 {
            let content = number.to_string().repeat(500 + number * 40);
            fs::write(directory.path().join(number.to_string()), content).unwrap();
        }
        fs::write(directory.path().join("large"), vec![b'x'; 200_000]).unwrap();
        for _ in 0..3 {
            for number in 0..60 {
                let content = number.to_string().repeat(500 + number * 40);
                assert_eq!(
                    only_reply(&mut server, &format!("/{number}")).text(),
                    content
                );
            }
            assert_eq!(only_reply(&mut server, "/large").body.len(), 200_000);
        }
    }
}
