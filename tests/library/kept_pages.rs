//! The 404 of the static handler is made once and kept; it is the one that `send_error` makes.

use std::io;
use std::time::UNIX_EPOCH;

use httpoll::{
    BaseHttpRequestHandler, Exchange, HttpStatus, MemoryServer, ProtocolVersion, ServerConfig,
    SimpleHttpRequestHandler,
};
use tempfile::TempDir;

/// Files, of which nothing is ever found.
#[derive(Clone)]
struct Files {
    files: SimpleHttpRequestHandler,
    own_page: bool,
}

impl BaseHttpRequestHandler for Files {
    fn handle_one_request(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        self.files.send_head(exchange)
    }

    fn error_message_format(&self) -> Option<String> {
        own_page(self.own_page)
    }
}

/// Says the same, anew each time.
struct Errors {
    own_page: bool,
}

impl BaseHttpRequestHandler for Errors {
    fn handle_one_request(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        exchange.send_error(HttpStatus::NOT_FOUND, Some("File not found"), None);
        Ok(())
    }

    fn error_message_format(&self) -> Option<String> {
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

/// All that a 404 may depend on, beside the server.
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
        ServerConfig {
            extra_response_headers: vec![
                field("X-Mine", "1"),
                field("x-content-type-options", "mine"),
            ],
            ..ServerConfig::default()
        },
        ServerConfig {
            protocol_version: ProtocolVersion::Http10,
            ..ServerConfig::default()
        },
    ]
}

#[test]
fn a_kept_404_is_the_one_that_a_fresh_one_would_be() {
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
fn a_clone_has_pages_of_its_own() {
    let (_directory, files) = files(false);
    let mut first = MemoryServer::new(files);
    let request = b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n";
    let respond =
        |server: &mut MemoryServer<Files>| String::from_utf8(server.respond(request)).unwrap();
    respond(&mut first);
    let config = ServerConfig {
        extra_response_headers: vec![("X-Second".to_owned(), "1".to_owned())],
        ..ServerConfig::default()
    };
    let mut second = MemoryServer::with_config(first.handler().clone(), config);
    for _ in 0..2 {
        assert!(respond(&mut second).contains("\r\nX-Second: 1\r\n"));
        assert!(!respond(&mut first).contains("X-Second"));
    }
}

/// Answers with the files after it has begun to say something else, or has tried to.
struct Hasty {
    files: SimpleHttpRequestHandler,
    has_status: bool,
}

impl BaseHttpRequestHandler for Hasty {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> io::Result<()> {
        if self.has_status {
            exchange.send_response(HttpStatus::OK);
        }
        exchange.send_header("X-Begun", "1");
        self.files.do_get(exchange)
    }
}

#[test]
fn a_404_replaces_what_was_begun() {
    for has_status in [true, false] {
        let (_directory, Files { files, .. }) = files(false);
        let mut server = MemoryServer::new(Hasty { files, has_status });
        for _ in 0..2 {
            let reply = server.respond(b"GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n");
            let reply = String::from_utf8(reply).unwrap();
            assert!(reply.starts_with("HTTP/1.1 404 Not Found\r\n"), "{reply}");
            assert!(!reply.contains("X-Begun"), "{reply}");
        }
    }
}
