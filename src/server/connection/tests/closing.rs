//! How a connection ends, which side ends it, and what is logged.

use std::time::Duration;

use super::handler::{FILE_SIZE, file_of, get, reply, small, statuses};
use super::script::{Event, MOVED, Room, TestLoop};
use crate::config::{ProtocolVersion, ServerConfig};
use crate::server::scratch::Scratch;
use crate::wire::delivery::Delivery;
use crate::wire::next::Next;

const ALL: Room = Room::Take(usize::MAX);

fn closing() -> Vec<u8> {
    b"GET /small HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".to_vec()
}

fn last_small() -> Vec<u8> {
    let fields = "X: y\r\nContent-Length: 6\r\nConnection: close\r\n";
    reply("200 OK", fields, b"hello\n")
}

#[test]
pub(super) fn a_peer_that_asks_for_the_close_and_is_read_to_the_end_is_closed_at_once() {
    let mut stage = TestLoop::new();
    assert_eq!(
        stage.receive([get("/small"), closing(), get("/small")].concat()),
        Next::Close
    );
    assert_eq!(stage.output(), [small(), last_small()].concat());
    assert_eq!((stage.script().reads, stage.script().shutdowns), (1, 0));
}

#[test]
pub(super) fn a_peer_that_asked_for_the_close_and_may_have_sent_more_is_lingered_for() {
    let mut stage = TestLoop::new();
    stage.scratch = Scratch::new(closing().len());
    stage.receive(closing());
    assert_eq!(
        (stage.state(), stage.script().shutdowns),
        ("Lingering(None)", 1)
    );
}

#[test]
pub(super) fn a_close_of_our_own_lingers() {
    let mut stage = TestLoop::new();
    stage.receive([get("/last"), get("/small")].concat());
    let fields = "X: y\r\nContent-Length: 5\r\nConnection: close\r\n";
    assert_eq!(stage.output(), reply("200 OK", fields, b"last\n"));
    assert_eq!(
        (stage.state(), stage.script().shutdowns),
        ("Lingering(None)", 1)
    );
    assert_eq!(stage.answer(&[&get("/small")]), b"");
}

#[test]
pub(super) fn an_http_1_0_peer_stays_only_if_it_asks_to() {
    let mut stage = TestLoop::new();
    assert_eq!(stage.receive(b"GET /small HTTP/1.0\r\n\r\n"), Next::Close);
    assert_eq!(stage.output(), last_small());
    let mut stage = TestLoop::new();
    stage.receive(b"GET /small HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    let fields = "X: y\r\nContent-Length: 6\r\nConnection: keep-alive\r\n";
    assert_eq!(stage.output(), reply("200 OK", fields, b"hello\n"));
    assert!(stage.connection.is_idle());
}

#[test]
pub(super) fn a_server_of_http_1_0_answers_one_request_a_connection() {
    let mut stage = TestLoop::with_config(ServerConfig {
        protocol_version: ProtocolVersion::Http10,
        ..ServerConfig::default()
    });
    stage.receive(get("/small").repeat(2));
    let output = String::from_utf8(stage.output()).unwrap();
    assert!(output.starts_with("HTTP/1.0 200 OK\r\n") && output.ends_with("close\r\n\r\nhello\n"));
    assert_eq!(output.matches("HTTP/1").count(), 1);
    assert_eq!(stage.state(), "Lingering(None)");
}

#[test]
pub(super) fn http_0_9_gets_the_body_alone_and_the_close() {
    let mut stage = TestLoop::new();
    assert_eq!(stage.receive(b"GET /small\r\n"), Next::Close);
    assert_eq!(stage.output(), b"hello\n");
}

#[test]
fn a_refusal_is_the_last_reply_and_is_lingered_for() {
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (
            "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n",
            501,
        ),
        ("GET / HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n", 417),
        ("GET / HTTP/3.0\r\n\r\n", 505),
        ("\x16\x03\x01", 400),
    ] {
        let mut stage = TestLoop::new();
        let requests = [&get("/small"), request.as_bytes(), &get("/small")].concat();
        stage.receive(requests);
        let output = String::from_utf8(stage.output()).unwrap();
        assert_eq!(statuses(output.as_bytes()), [200, status], "{request:?}");
        assert_eq!(output.matches("Connection: close\r\n").count(), 1);
        // The end of the stream leaves in the same segment.
        assert_eq!(stage.script().writes, [true]);
        assert_eq!(
            (stage.state(), stage.script().shutdowns),
            ("Lingering(None)", 1)
        );
        stage.answer(&[&get("/small"), b"whatever"]);
        assert_eq!(stage.state(), "Lingering(None)");
        assert_eq!(stage.receive_last(b"x", Event::Eof), Next::Close);
        assert_eq!(stage.output(), b"");
    }
}

#[test]
pub(super) fn a_refused_head_request_gets_no_body() {
    let mut stage = TestLoop::new();
    stage.receive(b"HEAD / HTTP/1.1\r\n\r\n");
    let output = String::from_utf8(stage.output()).unwrap();
    assert!(
        output.starts_with("HTTP/1.1 400 ") && output.ends_with("\r\n\r\n"),
        "{output}"
    );
}

#[test]
pub(super) fn a_peer_that_closed_its_side_still_gets_the_whole_answer() {
    for path in ["/small", "/file", "/stream"] {
        let mut stage = TestLoop::new();
        let whole = stage.answer(&[&get(path)]);
        for room in [Room::WouldBlock, Room::Take(50), ALL] {
            let mut stage = TestLoop::new();
            stage.script().room = [room].into();
            stage.receive_last(get(path), Event::Eof);
            stage.script().room.clear();
            stage.drain();
            stage.play();
            assert!(stage.output() == whole, "{path} with {room:?}");
            assert_eq!(stage.state(), "Closed");
            assert_eq!(stage.logged().len(), 1);
        }
    }
}

#[test]
pub(super) fn a_peer_that_closes_in_the_middle_of_a_request_is_closed_silently() {
    let post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc";
    for bytes in ["", "\r\n", "GET / HTTP/1.1\r\nHo", post] {
        for apart in [false, true] {
            let mut stage = TestLoop::new();
            if apart {
                stage.receive(bytes);
            }
            let rest = if apart { "" } else { bytes };
            assert_eq!(stage.receive_last(rest, Event::Eof), Next::Close);
            assert_eq!(
                (stage.output(), stage.logged().len()),
                (vec![], 0),
                "{bytes:?}"
            );
        }
    }
}

#[test]
pub(super) fn a_reset_closes_in_every_state() {
    let post = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n".to_vec();
    for bytes in [vec![], b"GET".to_vec(), post, b"\x16".to_vec()] {
        let mut stage = TestLoop::new();
        stage.receive(&bytes);
        assert_eq!(stage.receive_last(b"", Event::Reset), Next::Close);
        assert!(stage.state() == "Closed");
    }
}

#[test]
pub(super) fn a_reset_before_anything_was_sent_is_logged_without_content() {
    let mut stage = TestLoop::new();
    stage.script().room = [Room::Reset].into();
    assert_eq!(stage.receive(get("/small")), Next::Close);
    assert_eq!(stage.logged(), [r#""GET /small HTTP/1.1" 200 0"#]);
    // The outgoing buffer of the loop is empty for the next connection.
    assert!(stage.context.outgoing.buffer.bytes.is_empty());
}

#[test]
fn replies_that_break_off_are_logged_with_what_had_left_of_them() {
    let (head, small) = (small().len() - 6, small().len());
    for (cut, sizes) in [
        (small + head + 2, [6, 2, 0]),
        (small + 7, [6, 0, 0]),
        (small * 3 - 1, [6, 6, 5]),
    ] {
        let mut stage = TestLoop::new();
        stage.script().room = [Room::Take(cut), Room::Reset].into();
        stage.receive(get("/small").repeat(3));
        assert_eq!(
            stage.logged().len(),
            sizes.iter().filter(|size| **size == 6).count()
        );
        assert_eq!(stage.drain(), Next::Close);
        let expected = sizes.map(|size| format!(r#""GET /small HTTP/1.1" 200 {size}"#));
        assert_eq!(stage.logged(), expected);
    }
}

#[test]
fn a_file_that_breaks_off_is_logged_with_what_had_left_of_it() {
    for end in [Room::Reset, Room::WouldBlock] {
        let mut stage = TestLoop::new();
        stage.script().room = [ALL, Room::Take(1000), end].into();
        stage.receive([get("/small"), get("/file")].concat());
        assert_eq!(stage.logged().len(), 1);
        stage.drain();
        // If the peer has not reset the connection, the send deadline ends it.
        assert_eq!(stage.expire(), Next::Close);
        assert_eq!(stage.logged()[1..], [r#""GET /file HTTP/1.1" 200 1000"#]);
    }
}

#[test]
pub(super) fn a_peer_that_reads_nothing_is_reset_so_that_the_kernel_keeps_nothing_for_it() {
    for path in ["/small", "/file"] {
        let mut stage = TestLoop::new();
        stage.script().room = [Room::Take(10), Room::WouldBlock].into();
        stage.receive(get(path));
        assert_eq!(stage.expire(), Next::Close);
        assert_eq!(stage.script().resets, 1, "{path}");
    }
    let mut stage = TestLoop::new();
    stage.receive(get("/small"));
    assert_eq!(stage.expire(), Next::Close);
    assert_eq!(stage.script().resets, 0, "an idle connection is not reset");
}

#[test]
pub(super) fn a_peer_that_reads_slowly_what_the_kernel_has_for_it_is_waited_for() {
    /// At a deadline: the bytes that have reached the peer, the seconds without progress, and whether the connection waits on.
    type Deadline = (u64, u64, bool);
    let table: [(&str, &[Deadline]); 5] = [
        (
            "reads",
            &[(9, 5, true), (50_009, 5, true), (99_999, 0, true)],
        ),
        (
            "stops",
            &[(9, 5, true), (50_009, 5, true), (50_009, 0, false)],
        ),
        ("drips", &[(9, 5, true), (9999, 5, false)]),
        ("has not read since", &[(9, 29, false)]),
        ("has not read for long", &[(9, 99, false)]),
    ];
    for (what, deadlines) in table {
        let mut stage = TestLoop::new();
        stage.script().room = [Room::Take(10), Room::WouldBlock].into();
        stage.receive(get("/file"));
        for &(acked, seconds, waits) in deadlines {
            let stalled = Duration::from_secs(seconds);
            stage.script().delivery = Some(Delivery { acked, stalled });
            let ended = stage.expire();
            let expected = if waits {
                ended == MOVED
            } else {
                ended == Next::Close
            };
            assert!(expected, "{what}: {ended:?}");
            assert_eq!(stage.script().resets, usize::from(!waits), "{what}");
        }
    }
}

#[test]
fn what_the_socket_takes_is_progress_whatever_the_peer_has_got() {
    let mut stage = TestLoop::new();
    let delivery = |acked| {
        Some(Delivery {
            acked,
            stalled: Duration::ZERO,
        })
    };
    stage.script().room = [Room::Take(10), Room::WouldBlock].into();
    stage.receive(get("/file"));
    stage.script().delivery = delivery(9);
    assert_eq!(stage.expire(), MOVED);
    stage.script().room = [Room::Take(10), Room::WouldBlock].into();
    assert_eq!(stage.drain(), MOVED);
    assert_eq!(stage.expire(), MOVED);
    assert_eq!(stage.expire(), Next::Close);
}

/// The size in the log is that of the content, without chunk sizes and line ends.
#[test]
fn a_stream_that_breaks_off_is_logged_without_its_chunk_framing() {
    let mut stage = TestLoop::new();
    // The first piece leaves with the head; of the second, only the size line and one byte leave.
    stage.script().room = [ALL, Room::Take(11), Room::Reset].into();
    stage.receive(get("/stream"));
    stage.play();
    assert_eq!(stage.state(), "Closed");
    assert_eq!(stage.logged(), [r#""GET /stream HTTP/1.1" 200 14"#]);
}

#[test]
pub(super) fn replies_are_logged_once_with_their_content() {
    let mut stage = TestLoop::new();
    let requests: Vec<_> = ["/small", "/file", "/none", "/stream", "/inline"]
        .map(get)
        .concat();
    stage.answer(&[&requests, b"HEAD /file HTTP/1.1\r\nHost: h\r\n\r\n"]);
    let sizes = [
        ("GET /small", 200, 6),
        ("GET /file", 200, FILE_SIZE),
        ("GET /none", 204, 0),
    ]
    .into_iter()
    .chain([
        ("GET /stream", 200, 39),
        ("GET /inline", 200, 20 * 1024),
        ("HEAD /file", 200, 0),
    ]);
    let expected: Vec<_> = sizes
        .map(|(request, status, size)| format!("\"{request} HTTP/1.1\" {status} {size}"))
        .collect();
    assert_eq!(stage.logged(), expected);
}

#[test]
pub(super) fn a_begun_head_that_does_not_end_in_time_is_answered_with_408() {
    let mut stage = TestLoop::new();
    stage.receive([get("/small"), b"\r\nGET /small HT".to_vec()].concat());
    assert_eq!(stage.output(), small());
    assert_eq!(stage.expire(), Next::Wait);
    let output = String::from_utf8(stage.output()).unwrap();
    assert_eq!(statuses(output.as_bytes()), [408]);
    assert!(output.contains("Connection: close\r\n"));
    assert_eq!(
        (stage.state(), stage.script().shutdowns),
        ("Lingering(None)", 1)
    );
    assert!(stage.logged()[1].starts_with("\"GET /small HT\" 408 "));
    assert_eq!(stage.expire(), Next::Close);
}

#[test]
pub(super) fn a_body_that_does_not_end_in_time_is_answered_with_408() {
    let mut stage = TestLoop::new();
    stage.receive(b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
    stage.expire();
    assert_eq!(statuses(&stage.output()), [408]);
    assert_eq!(
        (stage.state(), stage.script().shutdowns),
        ("Lingering(None)", 1)
    );
    assert!(stage.logged()[0].starts_with("\"POST /x HTTP/1.1\" 408 "));
}

#[test]
pub(super) fn a_408_that_the_socket_does_not_take_waits_for_room() {
    let mut stage = TestLoop::new();
    stage.script().room = [Room::Take(20), Room::WouldBlock].into();
    stage.receive(b"GET");
    stage.expire();
    assert_eq!(stage.state(), "WritingHeaders");
    stage.play();
    assert_eq!(
        (stage.state(), statuses(&stage.output())),
        ("Lingering(None)", vec![408])
    );
}

#[test]
pub(super) fn a_peer_that_asked_for_nothing_is_closed_silently() {
    for bytes in ["", "\r\n", "\r\n\n\r"] {
        let mut stage = TestLoop::new();
        stage.receive(bytes);
        assert_eq!(stage.expire(), Next::Close, "{bytes:?}");
        assert_eq!((stage.output(), stage.logged().len()), (vec![], 0));
    }
}

#[test]
pub(super) fn a_peer_that_does_not_read_is_closed() {
    for (path, state) in [("/small", "WritingHeaders"), ("/file", "Streaming")] {
        let mut stage = TestLoop::new();
        let head = if path == "/small" {
            Room::Take(30)
        } else {
            ALL
        };
        stage.script().room = [head, Room::Take(5), Room::WouldBlock].into();
        stage.receive(get(path));
        assert_eq!(stage.state(), state);
        let (sent, writes) = (stage.output().len(), stage.script().writes.len());
        assert!(sent < file_of(FILE_SIZE).len());
        assert_eq!(stage.expire(), Next::Close);
        assert_eq!(
            (stage.output(), stage.script().writes.len()),
            (vec![], writes)
        );
        assert_eq!(stage.logged().len(), 1);
    }
}

#[test]
pub(super) fn while_the_server_drains_every_reply_is_the_last() {
    for path in ["/small", "/file", "/stream", "/none", "/error"] {
        let mut stage = TestLoop::new();
        stage.context.server.draining = true;
        stage.receive(get(path).repeat(2));
        stage.play();
        let output = String::from_utf8(stage.output()).unwrap();
        assert_eq!(output.matches("HTTP/1.1 ").count(), 1, "{path}");
        assert_eq!(
            output.matches("\r\nConnection: close\r\n").count(),
            1,
            "{path}"
        );
        assert_eq!(
            (stage.state(), stage.script().shutdowns),
            ("Lingering(None)", 1)
        );
    }
}
