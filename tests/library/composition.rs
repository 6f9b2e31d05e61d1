//! A static handler inside another handler, which replaces the inheritance of Python.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, HttpStatus, MemoryServer,
    SimpleHttpRequestHandler,
};
use tempfile::TempDir;

use crate::client::{Reply, get};
use crate::handlers::{request, send_text};

fn site() -> (TempDir, SimpleHttpRequestHandler) {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    fs::create_dir(directory.path().join("sub")).unwrap();
    write("a.txt", "a file");
    write("b.zig", "zig");
    write("sub/start.htm", "start here");
    write("sub/index.html", "index");
    let files = SimpleHttpRequestHandler::new(&directory).unwrap();
    (directory, files)
}

fn reply_to_get(handler: impl BaseHttpRequestHandler, path: &str) -> Reply {
    let bytes = MemoryServer::new(handler).respond(get(path).as_bytes());
    Reply::all(&bytes, &["GET"]).pop().unwrap()
}

/// Answers one path itself, and passes GET and HEAD of all others to the static handler.
struct Site {
    files: SimpleHttpRequestHandler,
}

impl BaseHttpRequestHandler for Site {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        match exchange.path() {
            "/api" => Ok(send_text(exchange, "from the api")?),
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
fn a_handler_answers_what_differs_and_leaves_the_rest_to_the_files() {
    let (_directory, files) = site();
    let mut server = MemoryServer::new(Site { files });
    let requests = [
        get("/api"),
        get("/a.txt"),
        get("/none"),
        request("HEAD"),
        request("POST"),
    ];
    let bytes = server.respond(requests.concat().as_bytes());
    let replies = Reply::all(&bytes, &["GET", "GET", "GET", "HEAD", "POST"]);
    assert_eq!(replies[0].text(), "from the api");
    assert_eq!(replies[1].text(), "a file");
    assert!(replies[1].field("etag").is_some());
    assert_eq!((replies[2].status, replies[2].text()), (404, "our own 404"));
    assert_eq!(replies[3].status, 404);
    assert_eq!(replies[4].status, 501, "POST is not passed on");
}

#[test]
fn all_methods_may_be_passed_on_at_once() {
    struct All(SimpleHttpRequestHandler);
    impl BaseHttpRequestHandler for All {
        fn handle_one_request(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
            self.0.handle_one_request(exchange)
        }
    }
    let (_directory, files) = site();
    let mut server = MemoryServer::new(All(files));
    for (method, status) in [("GET", 404), ("POST", 405), ("OPTIONS", 204), ("SPAM", 501)] {
        let bytes = server.respond(request(method).as_bytes());
        let reply = Reply::all(&bytes, &[method]).pop().unwrap();
        assert_eq!(reply.status, status, "{method}");
        let allow = matches!(status, 405 | 204).then_some("GET, HEAD, OPTIONS");
        assert_eq!(reply.field("allow"), allow, "{method}");
    }
}

#[test]
fn a_reply_of_the_files_may_be_added_to() {
    struct Later(SimpleHttpRequestHandler);
    impl BaseHttpRequestHandler for Later {
        fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
            self.0.send_head(exchange)?;
            exchange.set_close_connection(true);
            Ok(())
        }
    }
    let (_directory, files) = site();
    let reply = reply_to_get(Later(files), "/a.txt");
    assert_eq!(reply.text(), "a file");
    assert!(reply.closes());
}

#[test]
fn translate_path_may_be_replaced() {
    let (_directory, mut files) = site();
    files.set_translate_path(|target| match target {
        "/secret" => None,
        "/escape" => Some(PathBuf::from("../../../../etc/passwd")),
        _ => Some(PathBuf::from(target.trim_start_matches("/mounted/here/"))),
    });
    assert_eq!(
        reply_to_get(files.clone(), "/mounted/here/a.txt").text(),
        "a file"
    );
    assert_eq!(reply_to_get(files.clone(), "/secret").status, 404);
    assert_eq!(reply_to_get(files.clone(), "/escape").status, 404);
    assert_eq!(
        files.translate_path("/mounted/here/x"),
        Some(PathBuf::from("x"))
    );
}

#[test]
fn guess_type_may_be_asked_first() {
    let (_directory, mut files) = site();
    files.set_guess_type(|path| {
        path.extension()
            .is_some_and(|e| e == "zig")
            .then(|| "text/zig".to_owned())
    });
    assert_eq!(files.guess_type(Path::new("b.zig")), "text/zig");
    assert_eq!(files.guess_type(Path::new("a.txt")), "text/plain");
    let media_type = |path| {
        reply_to_get(files.clone(), path)
            .field("content-type")
            .unwrap()
            .to_owned()
    };
    assert_eq!(media_type("/b.zig"), "text/zig; charset=utf-8");
    assert_eq!(media_type("/a.txt"), "text/plain; charset=utf-8");
}

#[test]
fn media_types_may_be_added() {
    let (_directory, mut files) = site();
    files.default_content_type = "application/x-unknown".to_owned();
    files
        .extensions_map
        .insert(".txt".to_owned(), "application/x-text".to_owned());
    assert_eq!(
        reply_to_get(files.clone(), "/a.txt").field("content-type"),
        Some("application/x-text")
    );
    assert_eq!(
        files.guess_type(Path::new("x.unknown-suffix")),
        "application/x-unknown"
    );
}

#[test]
fn list_directory_may_be_replaced() {
    let (_directory, mut files) = site();
    files.set_list_directory(|exchange, path| {
        let text = format!("listing of {:?}", path.display().to_string());
        send_text(exchange, &text)
    });
    assert_eq!(reply_to_get(files.clone(), "/").text(), "listing of \"\"");
    files.index_pages.clear();
    assert_eq!(
        reply_to_get(files.clone(), "/sub/").text(),
        "listing of \"sub\""
    );
}

#[test]
fn list_directory_lists_any_path() {
    struct Listing(SimpleHttpRequestHandler);
    impl BaseHttpRequestHandler for Listing {
        fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
            Ok(self.0.list_directory(exchange, Path::new("sub"))?)
        }
    }
    let (_directory, files) = site();
    let reply = reply_to_get(Listing(files), "/any");
    assert!(reply.text().contains("start.htm"));
    assert!(!reply.text().contains("a.txt"));
}

#[test]
fn index_pages_may_be_chosen() {
    let (_directory, mut files) = site();
    assert_eq!(reply_to_get(files.clone(), "/sub/").text(), "index");
    files.index_pages = vec!["none.html".to_owned(), "start.htm".to_owned()];
    assert_eq!(reply_to_get(files.clone(), "/sub/").text(), "start here");
    files.index_pages.clear();
    assert!(
        reply_to_get(files.clone(), "/sub/")
            .text()
            .contains("start.htm")
    );
    files.list_directories = false;
    assert_eq!(reply_to_get(files.clone(), "/sub/").status, 403);
}

#[test]
fn a_handler_may_store_bodies_beside_static_files() {
    struct Notes(SimpleHttpRequestHandler, PathBuf);
    impl BaseHttpRequestHandler for Notes {
        fn reads_body(&self, _command: &str, _path: &str) -> bool {
            true
        }
        fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
            self.0.do_get(exchange)
        }
        fn do_post(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
            let mut file = fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(&self.1)?;
            io::copy(&mut exchange.rfile(), &mut file)?;
            file.flush()?;
            exchange.send_response(HttpStatus::NO_CONTENT);
            exchange.end_headers();
            Ok(())
        }
    }
    let (directory, files) = site();
    let handler = Notes(files, directory.path().join("notes"));
    let requests = [
        crate::client::post("/", "one "),
        crate::client::post("/", "two"),
        get("/notes").into(),
    ];
    let bytes = MemoryServer::new(handler).respond(&requests.concat());
    let replies = Reply::all(&bytes, &["POST", "POST", "GET"]);
    assert_eq!(replies[2].text(), "one two");
}
