//! `BasicAuth` as a guard before a handler of one's own.

use std::fs;

use httpoll::{BaseHttpRequestHandler, BasicAuth, Exchange, HandlerResult, MemoryServer};
use tempfile::TempDir;

/// "secret", and "other".
const SECRET: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
const OTHER: &str = "$2y$04$abcdefghijklmnopqrstuu0HtfOlPbTiymk5tcV.3TsFPDd3SYZqu";

/// "alice:secret", and "alice:other".
const ALICE_SECRET: &str = "Basic YWxpY2U6c2VjcmV0";
const ALICE_OTHER: &str = "Basic YWxpY2U6b3RoZXI=";

/// Tells the user its name.
struct Guarded(Vec<BasicAuth>);

impl BaseHttpRequestHandler for Guarded {
    fn handle_one_request(&mut self, exchange: &mut Exchange<'_>) -> HandlerResult {
        if self.0.iter().all(|auth| auth.admits(exchange)) {
            let user = exchange.user().unwrap_or_default().to_owned();
            exchange.send_text(200, user);
        }
        Ok(())
    }
}

fn users(hash: &str) -> (TempDir, BasicAuth) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("htpasswd");
    fs::write(&path, format!("alice:{hash}\n")).unwrap();
    let auth = BasicAuth::open(&path).unwrap();
    assert_eq!(auth.path(), path);
    (directory, auth)
}

fn ask(server: &mut MemoryServer<Guarded>, authorization: &str) -> String {
    let request = format!("GET / HTTP/1.0\r\nAuthorization: {authorization}\r\n\r\n");
    let reply = server.respond(request.as_bytes());
    String::from_utf8(reply).unwrap()
}

#[test]
fn the_handler_is_asked_for_the_users_of_the_file_alone() {
    let (_directory, auth) = users(SECRET);
    let mut server = MemoryServer::new(Guarded(vec![auth]));
    for _ in 0..2 {
        let reply = ask(&mut server, ALICE_SECRET);
        assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
        assert!(reply.ends_with("\r\n\r\nalice"), "{reply}");
        let reply = ask(&mut server, ALICE_OTHER);
        assert!(reply.starts_with("HTTP/1.1 401 "), "{reply}");
        assert!(
            reply.contains("\r\nWWW-Authenticate: Basic realm="),
            "{reply}"
        );
    }
}

#[test]
fn a_reload_takes_a_changed_file_and_keeps_the_users_if_it_is_unusable() {
    let (directory, auth) = users(SECRET);
    let mut server = MemoryServer::new(Guarded(vec![auth.clone()]));
    fs::write(auth.path(), format!("alice:{OTHER}\n")).unwrap();
    auth.reload().unwrap();
    assert!(ask(&mut server, ALICE_OTHER).contains(" 200 "));
    assert!(ask(&mut server, ALICE_SECRET).contains(" 401 "));
    fs::write(auth.path(), "alice\n").unwrap();
    let error = auth.reload().unwrap_err();
    assert_eq!(error.to_string(), "line 1: no colon behind the user");
    assert!(ask(&mut server, ALICE_OTHER).contains(" 200 "));
    drop(directory);
    assert!(auth.reload().is_err());
}

#[test]
fn two_guards_ask_for_a_user_of_both_files() {
    let (_first, first) = users(SECRET);
    let (_second, second) = users(SECRET);
    let (_third, third) = users(OTHER);
    let mut server = MemoryServer::new(Guarded(vec![first.clone(), second]));
    assert!(ask(&mut server, ALICE_SECRET).contains(" 200 "));
    let mut server = MemoryServer::new(Guarded(vec![first, third]));
    for authorization in [ALICE_SECRET, ALICE_OTHER] {
        assert!(ask(&mut server, authorization).contains(" 401 "));
    }
}

#[test]
fn nothing_that_is_shown_has_a_hash() {
    let (_directory, auth) = users(SECRET);
    assert!(!format!("{auth:?}").contains("$2y$"));
}
