//! Requests for other hosts than those of the server: they get 421 and do not reach the handler.

use std::io::{self, Write as _};

use httpoll::{
    BaseHttpRequestHandler, Exchange, HandlerResult, HttpServer, HttpStatus, MemoryServer,
    ServerConfig,
};

use crate::client::{Reply, find};
use crate::handlers::send_text;

/// Records each call for a request.
#[derive(Debug, Default)]
struct Asked(Vec<String>);

impl Asked {
    fn note(&mut self, what: &str, path: &str) {
        self.0.push(format!("{what} {path}"));
    }
}

impl BaseHttpRequestHandler for Asked {
    fn handle_one_request(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        self.note(exchange.command(), exchange.path());
        Ok(send_text(exchange, "hello")?)
    }

    fn reads_body(&self, _command: &str, path: &str) -> bool {
        assert!(path.starts_with("/good"), "{path}");
        true
    }

    fn handle_expect_100(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult<bool> {
        self.note("Expect", exchange.path());
        Ok(true)
    }

    fn handle_error(&mut self, _exchange: &mut Exchange<'_>, failure: &str) {
        self.note("failed:", failure);
    }
}

fn serving(hosts: &[&str]) -> MemoryServer<Asked> {
    let config = ServerConfig::default().with(|config| {
        config.hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        config.max_discard = 100;
    });
    MemoryServer::with_config(Asked::default(), config)
}

fn request(method: &str, path: &str, host: &str, fields: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")
}

#[test]
fn a_request_for_another_host_is_421_and_the_connection_goes_on() {
    let mut server = serving(&["good", "[::1]:8000"]);
    let requests = [
        request("GET", "/good/1", "good", ""),
        request("GET", "/evil", "evil", ""),
        request("GET", "/good/2", "GOOD.:1", ""),
        request("POST", "/evil", "evil", "Content-Length: 5\r\n"),
        "12345".to_owned(),
        request("POST", "/evil", "evil", "Transfer-Encoding: chunked\r\n"),
        "5\r\n12345\r\n0\r\n\r\n".to_owned(),
        request("GET", "http://evil/evil", "good", ""),
        request("GET", "http://good/good/3", "evil", ""),
        request("GET", "/evil", "[::1]", ""),
        request("POST", "/good/4", "[::1]:8000", "Content-Length: 5\r\n"),
        "12345".to_owned(),
    ];
    let methods = [
        "GET", "GET", "GET", "POST", "POST", "GET", "GET", "GET", "POST",
    ];
    let replies = server.respond(requests.concat().as_bytes());
    let replies = Reply::all(&replies, &methods);
    let statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [200, 421, 200, 421, 421, 421, 200, 421, 200]);
    assert!(replies.iter().all(|reply| !reply.closes()));
    assert!(
        replies[1]
            .head
            .starts_with("HTTP/1.1 421 Misdirected Request\r\n")
    );
    assert!(replies[1].text().contains("does not answer for the host"));
    let asked = ["GET /good/1", "GET /good/2", "GET /good/3", "POST /good/4"];
    assert_eq!(server.handler().0, asked);
}

#[test]
fn the_page_has_no_body_for_head_and_no_head_for_http_0_9() {
    let mut server = serving(&["good"]);
    let bytes = server.respond(request("HEAD", "/evil", "evil", "").as_bytes());
    assert_eq!(Reply::all(&bytes, &["HEAD"])[0].status, 421);
    let bytes = server.respond(b"GET /evil\r\n");
    assert!(find(&bytes, b"421").is_some() && !bytes.starts_with(b"HTTP"));
    assert!(server.handler().0.is_empty());
}

#[test]
fn a_request_without_a_host_is_421() {
    let mut server = serving(&["good"]);
    for fields in [
        "",
        "Connection: keep-alive\r\n",
        "X-Forwarded-Host: good\r\n",
    ] {
        let request = format!("GET /evil HTTP/1.0\r\n{fields}\r\n");
        let bytes = server.respond(request.as_bytes());
        let reply = Reply::all(&bytes, &["GET"]).pop().unwrap();
        assert_eq!(
            (reply.status, reply.closes()),
            (421, !fields.contains("keep"))
        );
    }
    assert!(server.handler().0.is_empty());
    let bytes = server.respond(b"GET http://good/good HTTP/1.0\r\n\r\n");
    assert_eq!(Reply::all(&bytes, &["GET"])[0].status, 200);
}

#[test]
fn a_body_for_another_host_is_not_asked_for_and_not_stored() {
    let mut server = serving(&["good"]);
    let expecting = request(
        "PUT",
        "/evil",
        "evil",
        "Expect: 100-continue\r\nContent-Length: 5\r\n",
    );
    let bytes = server.respond(expecting.as_bytes());
    let reply = Reply::all(&bytes, &["PUT"]).pop().unwrap();
    assert_eq!((reply.status, reply.closes()), (421, true));
    let large = request("PUT", "/evil", "evil", "Content-Length: 999999\r\n");
    let bytes = server.respond(large.as_bytes());
    let reply = Reply::all(&bytes, &["PUT"]).pop().unwrap();
    assert_eq!((reply.status, reply.closes()), (421, true));
    assert!(server.handler().0.is_empty());
}

#[test]
fn every_host_is_served_without_a_list() {
    let mut server = serving(&[]);
    for host in ["good", "evil", "[::1]:1", "127.0.0.1"] {
        let bytes = server.respond(request("GET", "/", host, "").as_bytes());
        assert_eq!(Reply::all(&bytes, &["GET"])[0].status, 200, "{host}");
    }
    let bytes = server.respond(b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!(Reply::all(&bytes, &["GET"])[0].status, 200);
}

#[test]
fn a_malformed_host_in_the_list_is_refused() {
    for nonsense in [
        "",
        " ",
        "http://good/",
        "*",
        "good:0",
        "good:x",
        "::1",
        "a\r\nb",
    ] {
        let config = ServerConfig::default()
            .with(|config| config.hosts = vec!["good".to_owned(), nonsense.to_owned()]);
        let error = config.check().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{nonsense:?}");
        assert!(
            error.to_string().contains(&format!("{nonsense:?}")),
            "{error}"
        );
        let server = HttpServer::bind_with("127.0.0.1:0", Asked::default(), config);
        assert_eq!(server.unwrap_err().kind(), io::ErrorKind::InvalidInput);

        let mut server = serving(&[nonsense]);
        let bytes = server.respond(request("GET", "/evil", "evil", "").as_bytes());
        assert_eq!(Reply::all(&bytes, &["GET"])[0].status, 421, "{nonsense:?}");
    }
}

#[test]
fn a_421_has_the_page_of_the_handler_and_the_configured_fields() {
    struct Paged;
    impl BaseHttpRequestHandler for Paged {
        fn do_get(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
            Ok(exchange.wfile().write_all(b"never")?)
        }
        fn error_message_format(&self, _status: HttpStatus) -> Option<String> {
            Some("own page: %(code)d".to_owned())
        }
    }
    let config = ServerConfig::default().with(|config| {
        config.hosts = vec!["good".to_owned()];
        config.extra_response_headers = vec![("X-Extra".to_owned(), "1".to_owned())];
    });
    let mut server = MemoryServer::with_config(Paged, config);
    let bytes = server.respond(request("GET", "/", "evil", "").as_bytes());
    let reply = Reply::all(&bytes, &["GET"]).pop().unwrap();
    assert_eq!(reply.text(), "own page: 421");
    assert_eq!(reply.field("x-extra"), Some("1"));
}
