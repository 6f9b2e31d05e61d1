//! Request bodies that the handler does not want: the request is answered at once, and the body is then discarded, so that the
//! next request is found.

use std::time::Duration;

use super::handler::{FILE_SIZE, get, reply, small, statuses};
use super::script::{Ended, Event, Room, TestLoop};
use crate::config::ServerConfig;
use crate::server::event_loop::timers::Timeout;
use crate::wire::next::Next;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

fn post(fields: &str, body: &str) -> Vec<u8> {
    format!("POST /unwanted HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}").into_bytes()
}

fn length(length: usize) -> String {
    format!("Content-Length: {length}\r\n")
}

fn max_discard(max_discard: u64) -> ServerConfig {
    ServerConfig {
        max_discard,
        ..ServerConfig::default()
    }
}

fn last_reply() -> Vec<u8> {
    let fields = "X: y\r\nContent-Length: 6\r\nConnection: close\r\n";
    reply("200 OK", fields, b"hello\n")
}

#[test]
pub(super) fn the_answer_does_not_wait_for_the_body_and_the_next_request_is_in_step() {
    let inner = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    let chunk = format!("{:x}\r\n{inner}\r\n", inner.len());
    for (fields, body) in [
        (length(inner.len()), inner.to_owned()),
        (
            CHUNKED.to_owned(),
            format!("{chunk}{chunk}0\r\nA: b\r\n\r\n"),
        ),
    ] {
        let head = post(&fields, "");
        let rest = [body.as_bytes(), &get("/small")].concat();
        for split in 0..=rest.len() {
            let mut stage = TestLoop::new();
            let (front, rest) = rest.split_at(split);
            stage.receive([&head, front].concat());
            let first = stage.output();
            assert!(first.starts_with(&small()), "split at {split}");
            if split < body.len() {
                assert_eq!(stage.state(), "Lingering(Some)");
                assert_eq!(stage.connection.awaits(), Some(Timeout::Linger));
                assert_eq!(stage.script().shutdowns, 0);
            }
            let all = [first, stage.answer(&[rest])].concat();
            assert_eq!(all, small().repeat(2), "split at {split}");
            assert!(stage.connection.is_idle());
            assert!(stage.logged().iter().all(|line| !line.contains("smuggled")));
        }
    }
}

#[test]
pub(super) fn a_body_that_trickles_is_read_for_the_time_of_lingering() {
    let mut stage = TestLoop::new();
    let began = stage.context.clock.instant;
    stage.receive(post(&length(1_000_000), ""));
    assert_eq!(stage.output(), small());
    for (seconds, progress) in [(4, true), (25, true), (26, false), (29, false)] {
        stage.context.clock.instant = began + Duration::from_secs(seconds);
        let outcome = stage.receive(vec![b'x'; 1100]);
        assert_eq!(outcome, Ended::waiting(progress), "after {seconds} s");
        assert_eq!(stage.state(), "Lingering(Some)");
    }
    stage.context.clock.instant = began + Duration::from_secs(30);
    assert_eq!(stage.receive(b"x"), Next::Close);
    assert_eq!(stage.output(), b"");
}

#[test]
pub(super) fn a_body_of_which_nothing_comes_ends_the_connection() {
    let mut stage = TestLoop::new();
    stage.receive(post(&length(10), "half"));
    assert_eq!(stage.output(), small());
    assert_eq!(stage.expire(), Next::Close);
    assert_eq!((stage.state(), stage.output()), ("Closed", vec![]));
}

#[test]
pub(super) fn a_peer_that_closes_its_side_within_the_body_has_its_answer() {
    let mut stage = TestLoop::new();
    let outcome = stage.receive_last(post(&length(10), "half"), Event::Eof);
    assert_eq!(outcome, Next::Close);
    assert_eq!(stage.output(), small());
}

#[test]
pub(super) fn framing_that_is_wrong_is_400_where_it_is_seen_before_the_answer_and_the_close_after_it()
 {
    for body in ["x\r\n", "3\r\nabcd\r\n0\r\n\r\n", "1\na\n0\n\n", "-1\r\n"] {
        let mut stage = TestLoop::new();
        stage.receive([post(CHUNKED, body), get("/small")].concat());
        assert_eq!(statuses(&stage.output()), [400], "{body:?}");
        assert_eq!(stage.state(), "Lingering(None)");

        let mut stage = TestLoop::new();
        stage.receive(post(CHUNKED, ""));
        stage.receive([body.as_bytes(), &get("/small")].concat());
        assert_eq!(stage.output(), small(), "{body:?}");
        assert_eq!(
            (stage.state(), stage.script().shutdowns),
            ("Lingering(None)", 1)
        );
        assert_eq!(stage.answer(&[&get("/small")]), b"");
    }
}

#[test]
pub(super) fn an_announced_body_beyond_the_limit_is_answered_for_the_last_time() {
    let mut stage = TestLoop::with_config(max_discard(10));
    let fields = "Expect: 100-continue\r\nContent-Length: 11\r\n";
    assert_eq!(stage.answer(&[&post(fields, "")]), last_reply());
    assert_eq!(
        (stage.state(), stage.script().shutdowns),
        ("Lingering(None)", 1)
    );
    assert_eq!(stage.answer(&[b"12345678901", &get("/small")]), b"");
}

#[test]
pub(super) fn a_chunked_body_that_gets_beyond_the_limit_ends_the_connection() {
    let mut stage = TestLoop::with_config(max_discard(10));
    let body = "a\r\n1234567890\r\n1\r\n1";
    assert_eq!(stage.answer(&[&post(CHUNKED, body)]), last_reply());
    assert_eq!(stage.state(), "Lingering(None)");

    let mut stage = TestLoop::with_config(max_discard(10));
    let front = post(CHUNKED, "a\r\n1234567890\r\n");
    assert_eq!(stage.answer(&[&front]), small());
    assert_eq!(stage.answer(&[b"1\r\n1\r\n0\r\n\r\n", &get("/small")]), b"");
    assert_eq!(
        (stage.state(), stage.script().shutdowns),
        ("Lingering(None)", 1)
    );
}

#[test]
pub(super) fn bodies_up_to_the_limit_are_discarded_and_the_connection_stays() {
    let bodies = [
        post(&length(10), "1234567890"),
        post(CHUNKED, "a\r\n1234567890\r\n0\r\n\r\n"),
    ];
    for request in bodies {
        let mut stage = TestLoop::with_config(max_discard(10));
        assert_eq!(stage.answer(&[&request.repeat(3)]), small().repeat(3));
        assert!(stage.connection.is_idle());
    }
}

#[test]
pub(super) fn a_client_that_waits_to_be_told_is_told_and_answered_at_once() {
    let mut stage = TestLoop::new();
    let request = post("Expect: 100-continue\r\nContent-Length: 4\r\n", "");
    for _ in 0..2 {
        assert_eq!(stage.answer(&[&request]), [CONTINUE, &small()].concat());
        assert_eq!(stage.state(), "Lingering(Some)");
        assert_eq!(stage.answer(&[b"body"]), b"");
        assert!(stage.connection.is_idle());
    }
}

#[test]
pub(super) fn a_body_that_is_not_read_to_its_end_closes_an_http_1_0_connection_late() {
    let mut stage = TestLoop::new();
    stage.receive(b"POST /unwanted HTTP/1.0\r\nContent-Length: 4\r\n\r\nbo");
    assert_eq!(stage.output(), last_reply());
    assert_eq!(
        (stage.state(), stage.script().shutdowns),
        ("Lingering(None)", 1)
    );
}

/// The peer may read nothing before it has sent everything.
#[test]
pub(super) fn a_body_is_discarded_while_the_socket_takes_no_more_of_the_reply() {
    let mut stage = TestLoop::new();
    stage.script().room = [Room::Take(usize::MAX), Room::Take(10), Room::WouldBlock].into();
    let head = String::from_utf8(post(&length(100_000), "")).unwrap();
    stage.receive(head.replace("/unwanted", "/unwanted-file"));
    assert_eq!(stage.state(), "Streaming");
    stage.receive(vec![b'x'; 70_000]);
    stage.receive([vec![b'x'; 30_000], get("/small")].concat());
    assert_eq!(stage.state(), "Streaming");
    stage.script().room.clear();
    stage.drain();
    stage.play();
    let output = stage.output();
    assert_eq!(statuses(&output), [200, 200]);
    assert!(output.len() > FILE_SIZE && output.ends_with(b"hello\n"));
    assert!(stage.connection.is_idle());
}
