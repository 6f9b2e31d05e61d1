//! Text of a handler, a setting, a file name or a request that may get into the head of a reply: none can add a line to it
//! (response splitting).

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, HttpServer, HttpStatus, MemoryServer,
    ServerConfig, SimpleHttpRequestHandler, ThreadingHttpServer,
};
use tempfile::TempDir;

use crate::client::{Reply, get};
use crate::handlers::{answering, send_text};

const INJECTED: &str = "\r\nX-Injected: x";

/// Bytes that no field may have.
const FORBIDDEN: [&str; 9] = [
    INJECTED, "\r", "\n", "\r\n", "\n\n", "\0", "\x01", "\x1b", "\x7f",
];

/// Methods and fields of requests for a file, and the status of the reply.
const FILE_REQUESTS: [(&str, &str, u16); 8] = [
    ("GET", "", 200),
    ("HEAD", "", 200),
    ("GET", "Range: bytes=1-2\r\n", 206),
    ("GET", "Range: bytes=0-0, 2-3\r\n", 206),
    ("GET", "Range: bytes=999999-\r\n", 416),
    ("GET", "If-None-Match: *\r\n", 304),
    ("GET", "If-Match: \"other\"\r\n", 412),
    (
        "GET",
        "If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT\r\n",
        304,
    ),
];

/// Serves files, and records the failures.
struct Files {
    files: SimpleHttpRequestHandler,
    failures: Vec<String>,
}

impl BaseHttpRequestHandler for Files {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.files.do_get(exchange)
    }

    fn do_head(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.files.do_head(exchange)
    }

    fn handle_error(&mut self, _exchange: &mut Exchange<'_>, failure: &str) {
        self.failures.push(failure.to_owned());
    }
}

fn site() -> (TempDir, SimpleHttpRequestHandler) {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("sub")).unwrap();
    fs::write(directory.path().join("sub/index.html"), "index").unwrap();
    fs::write(directory.path().join("small.unknown"), "a small file").unwrap();
    fs::write(directory.path().join("large.unknown"), vec![b'x'; 100_000]).unwrap();
    fs::write(directory.path().join("good.txt"), "good").unwrap();
    let files = SimpleHttpRequestHandler::new(&directory).unwrap();
    (directory, files)
}

fn serving(files: SimpleHttpRequestHandler) -> MemoryServer<Files> {
    MemoryServer::new(Files {
        files,
        failures: Vec::new(),
    })
}

/// The reply to a request; its head is checked.
fn reply(
    server: &mut MemoryServer<impl BaseHttpRequestHandler>,
    method: &str,
    target: &str,
    fields: &str,
) -> Reply {
    let request = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n{fields}\r\n");
    let bytes = server.respond(request.as_bytes());
    let reply = Reply::all(&bytes, &[method]).pop().unwrap();
    assert_is_clean(&reply.head);
    reply
}

#[track_caller]
fn assert_is_clean(head: &str) {
    let lines = head.strip_suffix("\r\n\r\n").unwrap();
    for (number, line) in lines.split("\r\n").enumerate() {
        let is_field = number == 0 || line.split_once(": ").is_some();
        assert!(is_field && !line.contains(char::is_control), "{head:?}");
        assert!(!line.starts_with("X-Injected"), "{head:?}");
    }
}

/// A way to set the media type of all files.
type SetMediaType = fn(&mut SimpleHttpRequestHandler, String);

const SET_MEDIA_TYPE: [SetMediaType; 3] = [
    |files, media_type| files.set_guess_type(move |_| Some(media_type.clone())),
    |files, media_type| {
        for suffix in [".unknown", ".html"] {
            files
                .extensions_map
                .insert(suffix.to_owned(), media_type.clone());
        }
    },
    |files, media_type| {
        files.default_content_type = media_type;
        files.index_pages = vec!["page".to_owned()];
    },
];

#[test]
fn a_media_type_that_adds_a_line_is_a_500_for_every_request() {
    for set in SET_MEDIA_TYPE {
        for forbidden in FORBIDDEN {
            let (directory, mut files) = site();
            fs::write(directory.path().join("sub/page"), "index").unwrap();
            set(&mut files, format!("text/x-{forbidden}-y"));
            let mut server = serving(files);
            let mut asked = 0;
            for target in ["/small.unknown", "/large.unknown", "/sub/"] {
                for (method, fields, _) in FILE_REQUESTS.repeat(2) {
                    let reply = reply(&mut server, method, target, fields);
                    assert_eq!(reply.status, 500, "{forbidden:?}: {target} {fields}");
                    asked += 1;
                }
            }
            let failures = &server.handler().failures;
            assert_eq!(failures.len(), asked, "handle_error is called for each");
            let named = format!("no media type: {:?}", format!("text/x-{forbidden}-y"));
            assert_eq!(failures[0], named);
        }
    }
}

#[test]
fn an_empty_media_type_is_a_500() {
    for set in SET_MEDIA_TYPE {
        for empty in ["", " ", "\t "] {
            let (directory, mut files) = site();
            fs::write(directory.path().join("sub/page"), "index").unwrap();
            set(&mut files, empty.to_owned());
            let mut server = serving(files);
            for target in ["/small.unknown", "/sub/"] {
                assert_eq!(reply(&mut server, "GET", target, "").status, 500);
            }
        }
    }
}

#[test]
fn any_other_media_type_is_sent_unchanged() {
    for set in SET_MEDIA_TYPE {
        for media_type in ["x/y", "x/ö", "x/\u{85}", "x/y; a=\"b\\\"\"", "x"] {
            let (_directory, mut files) = site();
            set(&mut files, media_type.to_owned());
            let mut server = serving(files);
            for target in ["/small.unknown", "/large.unknown"] {
                for (method, fields, status) in FILE_REQUESTS.repeat(2) {
                    let request =
                        format!("{method} {target} HTTP/1.1\r\nHost: test\r\n{fields}\r\n");
                    let bytes = server.respond(request.as_bytes());
                    let reply = Reply::all(&bytes, &[method]).pop().unwrap();
                    assert_eq!(reply.status, status, "{fields}");
                    let is_whole = status == 200 || fields.starts_with("Range: bytes=1-2");
                    if is_whole {
                        assert_eq!(reply.field("content-type"), Some(media_type));
                    } else if status == 206 {
                        let line = format!("\r\nContent-Type: {media_type}\r\n");
                        assert_eq!(reply.text().matches(&line).count(), 2);
                    }
                }
            }
            assert!(server.handler().failures.is_empty());
        }
    }
}

#[test]
fn the_media_type_of_each_file_is_checked() {
    let (_directory, mut files) = site();
    let wrong = format!("text/x{INJECTED}");
    files.extensions_map.insert(".unknown".to_owned(), wrong);
    let mut server = serving(files);
    for _ in 0..3 {
        assert_eq!(reply(&mut server, "GET", "/small.unknown", "").status, 500);
        assert_eq!(reply(&mut server, "GET", "/good.txt", "").text(), "good");
        assert_eq!(reply(&mut server, "GET", "/", "").status, 200);
        assert_eq!(reply(&mut server, "GET", "/none.unknown", "").status, 404);
    }
    // The length of a file in /proc is not known before it is read.
    let mut files = SimpleHttpRequestHandler::new("/proc/self").unwrap();
    files.default_content_type = format!("text/x{INJECTED}");
    let mut server = serving(files);
    assert_eq!(reply(&mut server, "GET", "/status", "").status, 500);
}

#[test]
fn the_media_type_of_a_single_file_is_checked() {
    let (directory, _) = site();
    let mut files = SimpleHttpRequestHandler::new(directory.path().join("small.unknown")).unwrap();
    files.set_guess_type(|_| Some(format!("text/x{INJECTED}")));
    let mut server = serving(files);
    for target in ["/", "/small.unknown"] {
        assert_eq!(reply(&mut server, "GET", target, "").status, 500);
    }
}

/// A way for a handler to add a field to a reply.
type SendField = fn(&mut Exchange<'_>, &str, &[u8]);

const SEND_FIELD: [SendField; 3] = [
    |exchange, name, value| {
        exchange.send_response(HttpStatus::OK);
        exchange.send_header(name, value);
        exchange.end_headers();
    },
    |exchange, name, value| {
        exchange.send_response_only(HttpStatus::NOT_MODIFIED);
        exchange.send_header(name, value);
    },
    |exchange, name, value| {
        exchange.send_error(HttpStatus::NOT_FOUND, None, None);
        exchange.send_header(name, value);
    },
];

/// Lets a handler send this field; returns the reply and the number of calls of `handle_error`.
fn reply_and_failures(send: SendField, name: &str, value: &[u8]) -> (Vec<u8>, usize) {
    let (name, value) = (name.to_owned(), value.to_owned());
    let mut server = MemoryServer::new(answering(move |exchange| {
        send(exchange, &name, &value);
        Ok(())
    }));
    let bytes = server.respond(get("/").as_bytes());
    (bytes, server.handler().failures.len())
}

#[test]
fn a_field_of_a_handler_is_one_line_or_a_500() {
    for send in SEND_FIELD {
        for byte in 0..=u8::MAX {
            let is_allowed = byte == b'\t' || !byte.is_ascii_control();
            for value in [&[byte][..], &[b'a', byte], &[b'a', byte, b'b']] {
                let (bytes, failures) = reply_and_failures(send, "X-Mine", value);
                let line = [b"\r\nX-Mine: ", value, b"\r\n"].concat();
                let is_sent = bytes.windows(line.len()).any(|window| window == line);
                assert_eq!(is_sent, is_allowed, "{byte:#x}");
                assert_eq!(failures, usize::from(!is_allowed), "{byte:#x}");
                assert_eq!(bytes.starts_with(b"HTTP/1.1 500 "), !is_allowed);
            }
        }
        // The same holds for fields that the server sends itself.
        for name in ["X-Mine", "Content-Type", "Connection", "Content-Length"] {
            for forbidden in FORBIDDEN {
                let (bytes, failures) =
                    reply_and_failures(send, name, format!("1{forbidden}").as_bytes());
                let reply = Reply::all(&bytes, &["GET"]).pop().unwrap();
                assert_is_clean(&reply.head);
                assert_eq!((reply.status, failures), (500, 1));
            }
        }
        for name in [
            "", " ", "X ", "X:", "X\r\nY", "X\n", "X\0", "X\x7f", "Xé", "X\t",
        ] {
            let (bytes, failures) = reply_and_failures(send, name, b"1");
            let reply = Reply::all(&bytes, &["GET"]).pop().unwrap();
            assert_is_clean(&reply.head);
            assert_eq!((reply.status, failures), (500, 1), "{name:?}");
        }
    }
}

#[test]
fn fields_of_a_deferred_reply_and_of_a_refusal_are_checked() {
    struct Later;
    impl BaseHttpRequestHandler for Later {
        fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
            exchange.defer().answer(|exchange| {
                exchange.send_response(HttpStatus::OK);
                exchange.send_header("X-Mine", INJECTED);
                Ok(())
            });
            Ok(())
        }
        fn handle_expect_100(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult<bool> {
            exchange.send_error(HttpStatus::EXPECTATION_FAILED, None, None);
            exchange.send_header("X-Mine", INJECTED);
            Ok(false)
        }
    }
    let mut server = MemoryServer::new(Later);
    assert_eq!(reply(&mut server, "GET", "/", "").status, 500);
    let fields = "Expect: 100-continue\r\nContent-Length: 1\r\n";
    assert_eq!(reply(&mut server, "PUT", "/", fields).status, 500);
}

/// A handler with its own name and content type of error pages.
#[derive(Clone)]
struct Named {
    version: String,
    content_type: String,
}

impl BaseHttpRequestHandler for Named {
    fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        if exchange.path() == "/" {
            return Ok(send_text(exchange, "hello")?);
        }
        exchange.send_error(HttpStatus::NOT_FOUND, Some(INJECTED), Some(INJECTED));
        Ok(())
    }

    fn version_string(&self) -> String {
        self.version.clone()
    }

    fn error_message_format(&self, _status: HttpStatus) -> Option<String> {
        Some("%(message)s".to_owned())
    }

    fn error_content_type(&self) -> String {
        self.content_type.clone()
    }
}

/// Asserts that no server starts with these, and that no head of a `MemoryServer` has any of them.
fn assert_refused(handler: &Named, config: &ServerConfig) {
    let address = "127.0.0.1:0";
    let one = HttpServer::bind_with(address, handler.clone(), config.clone());
    assert_eq!(one.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    let two = NonZeroUsize::new(2).unwrap();
    let several = ThreadingHttpServer::bind_with(address, handler.clone(), config.clone(), two);
    assert_eq!(several.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    let mut server = MemoryServer::with_config(handler.clone(), config.clone());
    for (method, target) in [
        ("GET", "/"),
        ("HEAD", "/"),
        ("GET", "/none"),
        ("GET", "none"),
    ] {
        reply(&mut server, method, target, "");
    }
}

#[test]
fn malformed_fields_of_every_reply_are_refused_at_the_start() {
    let usual = Named {
        version: "Named/1.0".to_owned(),
        content_type: "text/html".to_owned(),
    };
    for forbidden in FORBIDDEN {
        let text = format!("text/x{forbidden}");
        let named = Named {
            version: text.clone(),
            ..usual.clone()
        };
        assert_refused(&named, &ServerConfig::default());
        let paged = Named {
            content_type: text.clone(),
            ..usual.clone()
        };
        assert_refused(&paged, &ServerConfig::default());
        for (name, value) in [("X-Mine", &*text), (&*text, "1"), ("A b", "1"), ("", "1")] {
            let config = ServerConfig::default().with(|config| {
                config.extra_response_headers = vec![
                    ("X-Good".to_owned(), "1".to_owned()),
                    (name.to_owned(), value.to_owned()),
                ];
            });
            assert_eq!(
                config.check().unwrap_err().kind(),
                io::ErrorKind::InvalidInput
            );
            assert_refused(&usual, &config);
        }
    }
    let without_type = Named {
        content_type: String::new(),
        ..usual
    };
    assert_refused(&without_type, &ServerConfig::default());
}

#[test]
fn names_and_targets_are_encoded_in_a_head() {
    let hostile = format!("d{INJECTED}\n\0\x7f\u{9b}é").replace('\0', "");
    let encoded: String = hostile.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let (directory, mut files) = site();
    let inside = directory.path().join(&hostile);
    fs::create_dir(&inside).unwrap();
    fs::write(inside.join(format!("{hostile}.html")), "a page").unwrap();
    files.index_pages = vec![format!("{hostile}.html")];
    let mut server = serving(files);
    let redirect = reply(&mut server, "GET", &format!("/{encoded}"), "");
    assert_eq!(redirect.status, 301);
    assert!(
        redirect
            .field("location")
            .unwrap()
            .starts_with("d%0D%0AX-Injected")
    );
    for target in [
        format!("/{encoded}?{encoded}"),
        format!("/{encoded}/?sort=size&{encoded}"),
        format!("/{encoded}/{encoded}.html"),
        format!("/{encoded}/{encoded}"),
        format!("/?{encoded}"),
        "/sub?\u{85}\u{2028}".to_owned(),
        "/sub/..?\u{9b}".to_owned(),
    ] {
        for (method, fields, _) in FILE_REQUESTS {
            assert!(reply(&mut server, method, &target, fields).status < 500);
        }
    }
    assert!(server.handler().failures.is_empty());
}

#[test]
fn a_translated_path_is_in_no_head() {
    let (_directory, mut files) = site();
    files.set_translate_path(|_| Some(PathBuf::from(format!("sub/..{INJECTED}"))));
    let mut server = serving(files);
    for (method, fields, _) in FILE_REQUESTS {
        assert_eq!(reply(&mut server, method, "/a", fields).status, 404);
    }
}
