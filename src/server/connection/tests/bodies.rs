//! Request bodies: how fast they must come, where they end, and when `100 Continue` is sent.

use super::handler::{get, small, statuses};
use super::script::TestLoop;
use crate::config::{ProtocolVersion, ServerConfig};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

fn post(fields: &str, body: &str) -> Vec<u8> {
    format!("POST /small HTTP/1.1\r\nHost: h\r\n{fields}\r\n{body}").into_bytes()
}

/// 1 KiB a second is progress, and less is not. Bytes of earlier periods do not count.
#[test]
pub(super) fn a_body_has_to_keep_its_pace() {
    let fields = "Content-Length: 1000000\r\n";
    for (pieces, expired) in [
        (&[10 * 1024, 10 * 1024, 10 * 1024 - 1][..], 3),
        (&[500_000, 0], 2),
        (&[1], 1),
    ] {
        let mut stage = TestLoop::new();
        stage.receive(post(fields, ""));
        for (nth, length) in (1..).zip(pieces) {
            stage.receive(vec![b'x'; *length]);
            stage.expire();
            let replies = statuses(&stage.output());
            assert_eq!(
                replies.len(),
                usize::from(nth == expired),
                "{pieces:?}: {nth}"
            );
        }
    }
}

#[test]
pub(super) fn bodies_are_no_requests_wherever_they_are_cut() {
    let inner = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    let chunk = format!("{:x}\r\n{inner}\r\n", inner.len());
    let fields = format!("Content-Length: {}\r\n", inner.len());
    let bodies = [
        post(&fields, inner),
        post(
            "Transfer-Encoding: chunked\r\n",
            &format!("{chunk}{chunk}0\r\nA: b\r\n\r\n"),
        ),
        // GET may have one too (RFC 9110 §9.3.1).
        [b"GET", &post(&fields, inner)[4..]].concat(),
    ];
    let mut stage = TestLoop::new();
    for request in bodies {
        let requests = [request, get("/small")].concat();
        for split in 1..requests.len() {
            let (front, rest) = requests.split_at(split);
            assert_eq!(
                stage.answer(&[front, rest]),
                small().repeat(2),
                "split at {split}"
            );
            assert!(stage.connection.is_idle());
        }
    }
    assert!(stage.logged().iter().all(|line| !line.contains("smuggled")));
}

#[test]
pub(super) fn a_body_without_bytes_is_complete_with_its_head() {
    for fields in [
        "Content-Length: 0\r\n",
        "Content-Length: 0\r\nExpect: 100-continue\r\n",
    ] {
        let mut stage = TestLoop::new();
        assert_eq!(stage.answer(&[&post(fields, "")]), small());
    }
}

#[test]
pub(super) fn a_malformed_chunked_body_is_refused_and_nothing_behind_it_is_read() {
    for body in ["x\r\n", "3\r\nabcd\r\n0\r\n\r\n", "1\na\n0\n\n", "-1\r\n"] {
        let request = [post("Transfer-Encoding: chunked\r\n", body), get("/small")].concat();
        for split in [request.len(), request.len() - body.len()] {
            let (front, rest) = request.split_at(split);
            let mut stage = TestLoop::new();
            assert_eq!(statuses(&stage.answer(&[front, rest])), [400], "{body:?}");
            assert_eq!(stage.state(), "Lingering(None)");
        }
    }
}

#[test]
pub(super) fn an_expected_100_continue_is_sent_once_and_before_the_body() {
    for (fields, body) in [
        ("Content-Length: 3\r\n", "abc"),
        ("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
    ] {
        let mut stage = TestLoop::new();
        let head = post(&format!("Expect: 100-continue\r\n{fields}"), "");
        let (front, rest) = head.split_at(20);
        assert_eq!(stage.answer(&[front, rest]), CONTINUE);
        assert_eq!(stage.state(), "ReadingBody");
        let (last, drip) = body.as_bytes().split_last().unwrap();
        for byte in drip {
            assert_eq!(stage.answer(&[&[*byte]]), b"");
        }
        assert_eq!(stage.answer(&[&[*last]]), small());
        assert!(stage.connection.is_idle());
        // The next request gets one too.
        assert_eq!(stage.answer(&[&head]), CONTINUE);
    }
}

#[test]
pub(super) fn a_body_that_has_begun_is_not_asked_for() {
    for body in ["a", "abc"] {
        let mut stage = TestLoop::new();
        let fields = "Expect: 100-continue\r\nContent-Length: 3\r\n";
        let output = stage.answer(&[&post(fields, body), &b"abc"[body.len()..]]);
        assert_eq!(output, small(), "{body:?}");
    }
}

#[test]
pub(super) fn a_100_continue_leaves_behind_the_replies_before_it() {
    let mut stage = TestLoop::new();
    let request = post("Expect: 100-continue\r\nContent-Length: 3\r\n", "");
    let output = stage.answer(&[&[get("/small"), request].concat()]);
    assert_eq!(output, [&small(), CONTINUE].concat());
    assert_eq!(stage.script().writes.len(), 1);
}

#[test]
fn a_100_continue_that_the_socket_does_not_take_is_still_owed() {
    let mut stage = TestLoop::new();
    stage.script().most = 7;
    let request = post("Expect: 100-continue\r\nContent-Length: 3\r\n", "");
    stage.receive(request);
    assert_eq!(
        (stage.state(), stage.output()),
        ("WritingHeaders", b"HTTP/1.".to_vec())
    );
    stage.play();
    assert_eq!(
        (stage.state(), stage.output()),
        ("ReadingBody", CONTINUE[7..].to_vec())
    );
    assert_eq!(stage.answer(&[b"abc"]), small());
}

/// http.server sends it only where both sides speak 1.1; an HTTP/1.0 server has no interim replies (RFC 9110 §15.2).
#[test]
pub(super) fn an_http_1_0_server_sends_no_100_continue() {
    let mut stage = TestLoop::with_config(ServerConfig {
        protocol_version: ProtocolVersion::Http10,
        ..ServerConfig::default()
    });
    let request = post("Expect: 100-continue\r\nContent-Length: 3\r\n", "");
    assert_eq!(String::from_utf8_lossy(&stage.answer(&[&request])), "");
}

#[test]
pub(super) fn a_peer_of_http_1_0_gets_no_100_continue() {
    let mut stage = TestLoop::new();
    let request = b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(stage.answer(&[request]), b"");
    assert_eq!(stage.state(), "ReadingBody");
}
