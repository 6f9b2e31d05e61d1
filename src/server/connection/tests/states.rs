//! The states of a connection, and what leads from one to the next.

use super::handler::{FILE_SIZE, file_of, get, small, statuses};
use super::script::{Event, MOVED, Room, STILL, TestLoop};
use crate::SimpleHttpRequestHandler;
use crate::config::ServerConfig;
use crate::server::connection::readable::Readable;
use crate::server::event_loop::timers::Timeout;
use crate::server::scratch::Scratch;
use crate::wire::next::Next;

#[test]
pub(super) fn a_new_connection_is_idle_and_reads_only_when_told() {
    let mut stage = TestLoop::new();
    assert!(stage.connection.is_idle() && stage.state() != "Closed");
    assert_eq!(stage.connection.awaits(), Some(Timeout::KeepAlive));
    assert_eq!(stage.advance(Readable::No), STILL);
    assert_eq!(stage.script().reads, 0);
    assert_eq!(stage.advance(Readable::ToEnd), STILL);
    assert_eq!(stage.advance(Readable::Bytes), STILL);
    assert_eq!(stage.script().reads, 2);
    assert_eq!(stage.state(), "Reading(None)");
}

#[test]
pub(super) fn a_request_that_arrives_whole_takes_one_read_and_one_write() {
    let mut stage = TestLoop::new();
    for _ in 0..3 {
        assert_eq!(stage.receive(get("/small")), MOVED);
        assert_eq!(stage.output(), small());
        assert_eq!(stage.script().reads, 1);
        assert_eq!(stage.script().writes, [false]);
        assert!(stage.connection.is_idle());
        assert_eq!(stage.connection.awaits(), Some(Timeout::KeepAlive));
        stage.script().reads = 0;
        stage.script().writes.clear();
    }
}

#[test]
fn a_large_file_takes_one_write_that_announces_more_and_one_sendfile() {
    let mut stage = TestLoop::new();
    assert_eq!(stage.receive(get("/file")), MOVED);
    assert_eq!(stage.output(), file_of(FILE_SIZE));
    let script = stage.script();
    assert_eq!((script.writes.as_slice(), script.files), (&[true][..], 1));
    assert_eq!(stage.state(), "Reading(None)");
}

#[test]
pub(super) fn the_static_handler_answers_in_one_read_and_one_write() {
    let directory = std::env::temp_dir().join(format!("httpoll-states-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("a.txt"), "content of a file\n").unwrap();
    let handler = SimpleHttpRequestHandler::new(&directory).unwrap();
    let mut stage = TestLoop::with_handler(handler, ServerConfig::default());
    assert_eq!(stage.receive(get("/a.txt")), MOVED);
    assert_eq!(stage.receive(get("/b.txt")), MOVED);
    std::fs::remove_dir_all(&directory).unwrap();
    let output = stage.output();
    assert_eq!(statuses(&output), [200, 404]);
    assert!(
        output
            .windows(18)
            .any(|part| part == b"content of a file\n")
    );
    assert_eq!(stage.script().reads, 2);
    assert_eq!(stage.script().writes, [false, false]);
    assert!(stage.connection.is_idle());
}

#[test]
pub(super) fn a_begun_head_waits_without_progress_for_its_absolute_deadline() {
    let mut stage = TestLoop::new();
    let request = get("/small");
    let (last, drip) = request.split_last().unwrap();
    for byte in drip {
        assert_eq!(stage.receive([*byte]), STILL);
        assert_eq!(stage.state(), "Reading(Some)");
        assert_eq!(stage.connection.awaits(), Some(Timeout::Head));
        assert!(!stage.connection.is_idle());
    }
    assert_eq!(stage.receive([*last]), MOVED);
    assert_eq!(stage.output(), small());
    assert_eq!(stage.state(), "Reading(None)");
}

#[test]
pub(super) fn the_head_behind_an_answered_request_has_begun() {
    let mut stage = TestLoop::new();
    assert_eq!(
        stage.receive([get("/small"), b"GET".to_vec()].concat()),
        MOVED
    );
    assert_eq!((stage.state(), stage.output()), ("Reading(Some)", small()));
    assert_eq!(stage.receive(&get("/small")[3..]), MOVED);
    assert_eq!((stage.state(), stage.output()), ("Reading(None)", small()));
}

#[test]
pub(super) fn requests_beyond_the_budget_wait_in_parsing() {
    let mut stage = TestLoop::with_config(
        ServerConfig::default().with(|config| config.tuning.turn_requests = 1),
    );
    assert_eq!(stage.receive(get("/small").repeat(2)), Next::Yield);
    assert_eq!(stage.state(), "Parsing");
    assert_eq!(stage.connection.awaits(), Some(Timeout::Head));
    assert!(!stage.connection.is_idle());
    assert_eq!(stage.output(), small());
}

#[test]
pub(super) fn a_body_on_its_way_makes_progress_byte_by_byte() {
    let mut stage = TestLoop::new();
    let request = b"POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n";
    assert_eq!(stage.receive(request), MOVED);
    for byte in *b"ab" {
        assert_eq!(stage.state(), "ReadingBody");
        assert_eq!(stage.connection.awaits(), Some(Timeout::Body));
        assert_eq!(stage.advance(Readable::No), STILL);
        assert_eq!(stage.receive([byte]), MOVED);
    }
    assert_eq!(stage.output(), b"");
    assert_eq!(stage.receive(b"c"), MOVED);
    assert_eq!((stage.state(), stage.output()), ("Reading(None)", small()));
}

#[test]
fn what_the_socket_does_not_take_waits_for_room() {
    let mut stage = TestLoop::new();
    stage.script().room = [Room::WouldBlock, Room::Take(9)].into();
    assert_eq!(stage.receive(get("/small")), MOVED);
    assert_eq!(stage.state(), "WritingHeaders");
    assert_eq!(stage.connection.awaits(), Some(Timeout::Send));
    // An event that brings no room is no progress, even if it brings bytes.
    assert_eq!(stage.receive(get("/small")), STILL);
    assert_eq!(stage.state(), "WritingHeaders");
    assert_eq!(stage.drain(), MOVED);
    assert_eq!(stage.state(), "WritingHeaders");
    assert_eq!(stage.drain(), MOVED);
    // The event of the second request came while a reply was leaving, and was not forgotten.
    assert_eq!(
        (stage.state(), stage.output()),
        ("Reading(None)", small().repeat(2))
    );
}

#[test]
fn a_body_streams_once_the_head_has_left() {
    let mut stage = TestLoop::new();
    let all = Room::Take(usize::MAX);
    stage.script().room = [Room::Take(10), all, Room::WouldBlock, Room::Take(1000)].into();
    assert_eq!(stage.receive(get("/file")), MOVED);
    assert_eq!(stage.state(), "WritingHeaders");
    assert_eq!(stage.drain(), MOVED);
    assert_eq!(stage.state(), "Streaming");
    assert_eq!(stage.connection.awaits(), Some(Timeout::Send));
    assert_eq!(stage.advance(Readable::No), STILL);
    assert_eq!(stage.drain(), MOVED);
    assert_eq!(stage.state(), "Streaming");
    assert_eq!(stage.drain(), MOVED);
    assert_eq!(
        (stage.state(), stage.output()),
        ("Reading(None)", file_of(FILE_SIZE))
    );
    let script = stage.script();
    assert!(script.writes.iter().all(|more| *more));
}

#[test]
pub(super) fn a_refused_peer_is_lingered_for_and_then_closed() {
    let mut stage = TestLoop::new();
    assert_eq!(stage.receive(b"NO\r\n\r\n"), MOVED);
    assert_eq!(
        (stage.state(), stage.script().shutdowns),
        ("Lingering(None)", 1)
    );
    assert_eq!(stage.connection.awaits(), Some(Timeout::Linger));
    assert_eq!(stage.receive_last(b"", Event::Eof), Next::Close);
    assert!(stage.state() == "Closed");
}

#[test]
pub(super) fn a_closed_connection_touches_nothing() {
    let mut stage = TestLoop::new();
    assert_eq!(stage.receive_last(b"", Event::Eof), Next::Close);
    let reads = stage.script().reads;
    assert_eq!(stage.receive(get("/small")), Next::Close);
    assert_eq!(stage.expire(), Next::Close);
    assert_eq!((stage.state(), stage.script().reads), ("Closed", reads));
    assert_eq!(stage.output(), b"");
}

#[test]
fn a_read_that_fills_its_room_is_followed_by_another() {
    let mut stage = TestLoop::new();
    let requests = get("/small").repeat(3);
    stage.scratch = Scratch::new(requests.len() / 2);
    assert_eq!(stage.receive(&requests), MOVED);
    assert_eq!(stage.output(), small().repeat(3));
    // Two reads filled the room, and a third found that there is no more.
    assert_eq!((stage.state(), stage.script().reads), ("Reading(None)", 3));
}

#[test]
pub(super) fn pipelined_requests_leave_in_one_write() {
    for count in [2, 16, 64] {
        let mut stage = TestLoop::new();
        stage.receive(get("/small").repeat(count));
        assert_eq!(stage.output(), small().repeat(count));
        assert_eq!((stage.script().reads, stage.script().writes.len()), (1, 1));
    }
}

/// What happens to a connection.
enum Happens {
    Bytes(&'static str),
    /// The peer closes its side.
    End,
    /// The deadline passes.
    Deadline,
    /// The socket takes more.
    Room,
}

/// What the socket takes, and what happens, each time with the state that follows.
type Row<'r> = (&'r [Room], &'r [(Happens, &'r str)]);

/// Rows of the table in [`crate::server::connection::state`], each from a new connection on.
#[test]
pub(super) fn the_table_of_states_is_true() {
    use Happens::{Bytes, Deadline, End, Room as MoreRoom};

    const SMALL: &str = "GET /small HTTP/1.1\r\nHost: h\r\n\r\n";
    const FILE: &str = "GET /file HTTP/1.1\r\nHost: h\r\n\r\n";
    const POST: &str = "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n";
    const CHUNKED: &str = "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    const UNWANTED: &str = "POST /unwanted HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n";
    const UNWANTED_CHUNKED: &str =
        "POST /unwanted HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    const LAST: &str = "GET /last HTTP/1.1\r\nHost: h\r\n\r\n";
    const CLOSE: &str = "GET /small HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

    let all = Room::Take(usize::MAX);
    let full = [Room::Take(1), all, Room::Take(1)];
    let rows: [Row<'_>; 14] = [
        (
            &[],
            &[
                (Bytes("GET"), "Reading(Some)"),
                (
                    Bytes(" /small HTTP/1.1\r\nHost: h\r\n\r\n"),
                    "Reading(None)",
                ),
                (Bytes(SMALL), "Reading(None)"),
                (End, "Closed"),
            ],
        ),
        (&[], &[(Deadline, "Closed")]),
        (
            &[],
            &[
                (Bytes("GET"), "Reading(Some)"),
                (Deadline, "Lingering(None)"),
                (Deadline, "Closed"),
            ],
        ),
        (&[], &[(Bytes("\x16"), "Lingering(None)"), (End, "Closed")]),
        (
            &[],
            &[
                (Bytes(POST), "ReadingBody"),
                (Bytes("abc"), "Reading(None)"),
            ],
        ),
        (
            &[],
            &[(Bytes(POST), "ReadingBody"), (Deadline, "Lingering(None)")],
        ),
        (&[], &[(Bytes(POST), "ReadingBody"), (End, "Closed")]),
        (
            &[],
            &[
                (Bytes(CHUNKED), "ReadingBody"),
                (Bytes("x"), "Lingering(None)"),
            ],
        ),
        (
            &full,
            &[
                (Bytes(FILE), "WritingHeaders"),
                (MoreRoom, "Streaming"),
                (MoreRoom, "Reading(None)"),
            ],
        ),
        (
            &full,
            &[(Bytes(FILE), "WritingHeaders"), (Deadline, "Closed")],
        ),
        (
            &[],
            &[
                (Bytes(UNWANTED), "Lingering(Some)"),
                (Bytes("abc"), "Reading(None)"),
            ],
        ),
        (
            &[],
            &[
                (Bytes(UNWANTED_CHUNKED), "Lingering(Some)"),
                (Bytes("x"), "Lingering(None)"),
            ],
        ),
        (&[], &[(Bytes(LAST), "Lingering(None)"), (End, "Closed")]),
        (&[], &[(Bytes(CLOSE), "Closed")]),
    ];
    for (number, (room, row)) in (1..).zip(rows) {
        let mut stage = TestLoop::new();
        stage.script().room = room.iter().copied().collect();
        for (happens, state) in row {
            match happens {
                Bytes(bytes) => stage.receive(bytes),
                End => stage.receive_last("", Event::Eof),
                Deadline => stage.expire(),
                MoreRoom => stage.drain(),
            };
            assert_eq!(stage.state(), *state, "row {number}");
        }
    }
}
