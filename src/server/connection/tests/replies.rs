//! Framing is the server's job, whatever a handler does.

use super::handler::{FILE_SIZE, content, file_of, get, reply, small, statuses, stream};
use super::script::{Room, TestLoop};
use crate::wire::next::Next;

/// Splits the text of one reply into its head, with the empty line, and its body.
fn parts(output: Vec<u8>) -> (String, String) {
    let output = String::from_utf8(output).unwrap();
    let end = output.find("\r\n\r\n").unwrap() + 4;
    (output[..end].to_owned(), output[end..].to_owned())
}

#[test]
pub(super) fn head_is_get_without_the_body() {
    for path in [
        "/small",
        "/file",
        "/inline",
        "/stream",
        "/none",
        "/unchanged",
        "/error",
    ] {
        let mut stage = TestLoop::new();
        let (head, _) = parts(stage.answer(&[&get(path)]));
        let request = format!("HEAD {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(
            parts(stage.answer(&[request.as_bytes()])),
            (head, String::new()),
            "{path}"
        );
        assert!(stage.connection.is_idle());
    }
}

#[test]
pub(super) fn replies_that_have_no_body_get_none() {
    let mut stage = TestLoop::new();
    let none = reply("204 No Content", "X: y\r\n", b"");
    let unchanged = reply("304 Not Modified", "X: y\r\n", b"");
    let requests = [get("/none"), get("/unchanged"), get("/small")].concat();
    assert_eq!(
        stage.answer(&[&requests]),
        [none, unchanged, small()].concat()
    );
}

#[test]
pub(super) fn a_failing_handler_becomes_a_clean_500_and_the_connection_goes_on() {
    for path in ["/error", "/panic", "/misuse"] {
        let mut stage = TestLoop::new();
        let output = stage.answer(&[&[get("/small"), get(path), get("/small")].concat()]);
        assert_eq!(statuses(&output), [200, 500, 200], "{path}");
        let text = String::from_utf8(output).unwrap();
        assert!(
            !text.contains("partial") && !text.contains("C: d"),
            "{text}"
        );
        assert!(!text.contains("Connection: close"));
        let ends = String::from_utf8(small()).unwrap();
        assert!(text.starts_with(&ends) && text.ends_with(&ends));
        assert!(stage.connection.is_idle());
        assert_eq!(stage.script().writes, [false]);
        // The failure, and the three replies once they have left.
        assert_eq!(stage.logged().len(), 4);
    }
}

#[test]
pub(super) fn a_failure_shows_its_reason_to_the_log_and_not_to_the_peer() {
    let mut stage = TestLoop::new();
    let output = stage.answer(&[&get("/error")]);
    assert!(!String::from_utf8(output).unwrap().contains("no such luck"));
    assert_eq!(stage.logged()[0], "GET /error HTTP/1.1: no such luck");
}

#[test]
pub(super) fn an_unsupported_method_is_answered_and_the_connection_goes_on() {
    let mut stage = TestLoop::new();
    let output = stage.answer(&[b"SPAM / HTTP/1.1\r\nHost: h\r\n\r\n", &get("/small")]);
    assert_eq!(statuses(&output), [501, 200]);
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_closes_the_connection() {
    let mut stage = TestLoop::new();
    stage.script().room = [Room::Take(usize::MAX), Room::Take(10), Room::WouldBlock].into();
    stage.receive(get("/file").repeat(2));
    assert_eq!(stage.state(), "Streaming");
    stage.context.handler.file.set_len(50_000).unwrap();
    stage.drain();
    assert_eq!(stage.drain(), Next::Close);
    let output = stage.output();
    assert!(output == file_of(FILE_SIZE)[..output.len()]);
    assert!(output.ends_with(&content(50_000)));
    assert_eq!(stage.logged(), [r#""GET /file HTTP/1.1" 200 50000"#]);
}

#[test]
pub(super) fn a_file_that_has_shrunk_before_its_head_left_is_a_clean_500() {
    let mut stage = TestLoop::new();
    stage.context.handler.file.set_len(100).unwrap();
    let output = stage.answer(&[&[get("/inline"), get("/small")].concat()]);
    assert_eq!(statuses(&output), [500, 200]);
    assert!(output.ends_with(&small()));
    assert!(!output.windows(19).any(|bytes| bytes == content(19)));
}

#[test]
pub(super) fn a_source_that_fails_ends_without_its_end_mark() {
    let mut stage = TestLoop::new();
    stage.receive(get("/broken").repeat(2));
    stage.play();
    assert_eq!(stage.state(), "Closed");
    let whole = stream();
    assert_eq!(stage.output(), whole[..whole.len() - b"0\r\n\r\n".len()]);
    assert!(!stage.log().contains("TLS"), "{}", stage.log());
}

#[test]
pub(super) fn a_source_for_http_1_0_ends_with_the_connection() {
    let mut stage = TestLoop::new();
    stage.receive(b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    stage.play();
    let body = b"a piece of it".repeat(3);
    assert_eq!(
        stage.output(),
        reply("200 OK", "X: y\r\nConnection: close\r\n", &body)
    );
    assert_eq!(stage.state(), "Lingering(None)");
}
