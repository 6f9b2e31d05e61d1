//! The static handler makes its 404 once and keeps it; it equals the page of `send_error`, with the Cache-Control of all replies of
//! this handler. A listing depends only on its directory.

use std::fs;
use std::time::UNIX_EPOCH;

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, HttpStatus, MemoryServer, ProtocolVersion,
    ServerConfig, SimpleHttpRequestHandler,
};
use tempfile::TempDir;

/// A static handler, with or without its own error page.
#[derive(Clone)]
struct Files {
    files: SimpleHttpRequestHandler,
    own_page: bool,
}

impl BaseHttpRequestHandler for Files {
    fn handle_one_request(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.files.send_head(exchange)
    }

    fn error_message_format(&self, _status: HttpStatus) -> Option<String> {
        own_page(self.own_page)
    }
}

/// A handler that makes the 404 anew for each request.
struct Errors {
    own_page: bool,
}

impl BaseHttpRequestHandler for Errors {
    fn handle_one_request(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        exchange.send_error(HttpStatus::NOT_FOUND, Some("File not found"), None);
        exchange.send_header("Cache-Control", "no-cache");
        Ok(())
    }

    fn error_message_format(&self, _status: HttpStatus) -> Option<String> {
        own_page(self.own_page)
    }
}

fn own_page(is_wanted: bool) -> Option<String> {
    is_wanted.then(|| "our own %(code)d: %(message)s".to_owned())
}

fn files(own_page: bool) -> (TempDir, Files) {
    let directory = tempfile::tempdir().unwrap();
    let files = SimpleHttpRequestHandler::new(&directory).unwrap();
    (directory, Files { files, own_page })
}

/// Requests that differ in all that a 404 may depend on.
fn requests() -> Vec<String> {
    let mut requests = vec!["GET /nothing\r\n".to_owned()];
    for method in ["GET", "HEAD"] {
        for version in ["1.0", "1.1"] {
            for connection in ["", "Connection: close\r\n", "Connection: keep-alive\r\n"] {
                for accept in [
                    "",
                    "Accept: */*\r\n",
                    "Accept: text/plain\r\n",
                    "Accept: text/html;q=0, */*\r\n",
                    "Accept: */*;q=0\r\n",
                    "Accept: */*\r\nAccept: text/html;q=0\r\n",
                    "Accept: image/png, text/html;q=0.1\r\n",
                ] {
                    requests.push(format!(
                        "{method} /nothing HTTP/{version}\r\nHost: h\r\n{connection}{accept}\r\n"
                    ));
                }
            }
        }
    }
    requests
}

fn configs() -> [ServerConfig; 3] {
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    [
        ServerConfig::default(),
        ServerConfig::default().with(|config| {
            config.extra_response_headers = vec![
                field("X-Mine", "1"),
                field("x-content-type-options", "mine"),
            ];
        }),
        ServerConfig::default().with(|config| config.protocol_version = ProtocolVersion::Http10),
    ]
}

#[test]
fn a_cached_404_equals_a_fresh_404() {
    for own_page in [false, true] {
        let (_directory, files) = files(own_page);
        for config in configs() {
            let errors = Errors { own_page };
            let mut fresh = MemoryServer::with_config(errors, config.clone()).at(UNIX_EPOCH);
            let mut kept = MemoryServer::with_config(files.clone(), config).at(UNIX_EPOCH);
            for _ in 0..2 {
                for request in requests() {
                    let [fresh, kept] = [
                        fresh.respond(request.as_bytes()),
                        kept.respond(request.as_bytes()),
                    ]
                    .map(|reply| String::from_utf8(reply).unwrap());
                    assert!(!fresh.is_empty(), "{request}");
                    assert_eq!(kept, fresh, "{request}");
                }
            }
        }
    }
}

#[test]
fn a_clone_has_its_own_cached_pages() {
    let (_directory, files) = files(false);
    let mut first = MemoryServer::new(files);
    let request = b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n";
    let respond =
        |server: &mut MemoryServer<Files>| String::from_utf8(server.respond(request)).unwrap();
    respond(&mut first);
    let config = ServerConfig::default().with(|config| {
        config.extra_response_headers = vec![("X-Second".to_owned(), "1".to_owned())];
    });
    let mut second = MemoryServer::with_config(first.handler().clone(), config);
    for _ in 0..2 {
        assert!(respond(&mut second).contains("\r\nX-Second: 1\r\n"));
        assert!(!respond(&mut first).contains("X-Second"));
    }
}

/// Begins a reply, with or without a status, and then passes the request to the static handler.
struct BeginsReply {
    files: SimpleHttpRequestHandler,
    has_status: bool,
}

impl BaseHttpRequestHandler for BeginsReply {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        if self.has_status {
            exchange.send_response(HttpStatus::OK);
        }
        exchange.send_header("X-Begun", "1");
        self.files.do_get(exchange)
    }
}

#[test]
fn a_404_replaces_a_reply_that_was_begun() {
    for has_status in [true, false] {
        let (_directory, Files { files, .. }) = files(false);
        let mut server = MemoryServer::new(BeginsReply { files, has_status });
        for _ in 0..2 {
            let reply = server.respond(b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n");
            let reply = String::from_utf8(reply).unwrap();
            assert!(reply.starts_with("HTTP/1.1 404 Not Found\r\n"), "{reply}");
            assert!(!reply.contains("X-Begun"), "{reply}");
        }
    }
}

/// Every listing of a directory, each asked for twice in one turn.
fn listings() -> Vec<String> {
    let mut requests = Vec::new();
    for target in ["/", "/?sort=size", "/?order=desc", "/sub/"] {
        for accept in ["", "Accept: application/json\r\n"] {
            for method in ["GET", "HEAD"] {
                let request = format!("{method} {target} HTTP/1.1\r\nHost: h\r\n{accept}\r\n");
                requests.extend([request.clone(), request]);
            }
        }
    }
    requests
}

#[test]
fn a_listing_does_not_depend_on_earlier_requests_of_its_turn() {
    for config in configs() {
        let (directory, Files { files, .. }) = files(false);
        fs::create_dir(directory.path().join("sub")).unwrap();
        for name in ["a", "b.txt", "sub/c"] {
            fs::write(directory.path().join(name), name.repeat(9)).unwrap();
        }
        let server = || MemoryServer::with_config(files.clone(), config.clone()).at(UNIX_EPOCH);
        if config.protocol_version == ProtocolVersion::Http11 {
            let alone: Vec<_> = listings()
                .iter()
                .flat_map(|request| server().respond(request.as_bytes()))
                .collect();
            let together = server().respond(listings().concat().as_bytes());
            assert_eq!(
                String::from_utf8_lossy(&together),
                String::from_utf8_lossy(&alone)
            );
        }
        let mut server = server();
        for (number, request) in listings().iter().enumerate() {
            if request.starts_with("GET /") {
                let name = format!("new-{number}.");
                fs::write(directory.path().join(&name), "").unwrap();
                let reply = server.respond(request.as_bytes());
                let reply = String::from_utf8(reply).unwrap();
                assert_eq!(
                    reply.contains(&name),
                    !request.contains("/sub/"),
                    "{request}"
                );
            }
        }
    }
}

#[test]
fn fields_sent_before_a_listing_are_in_no_other_reply() {
    let (directory, Files { files, .. }) = files(false);
    fs::write(directory.path().join("a"), "").unwrap();
    for has_status in [true, false] {
        let files = files.clone();
        let mut server = MemoryServer::new(BeginsReply { files, has_status });
        let request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        let replies = server.respond(request.repeat(2).as_bytes());
        let replies = String::from_utf8(replies).unwrap();
        assert!(replies.starts_with("HTTP/1.1 500 "), "{replies}");
        assert!(!replies.contains("X-Begun"), "{replies}");
    }
}
