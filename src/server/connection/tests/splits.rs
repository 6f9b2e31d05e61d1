//! The same bytes leave, however the network cuts the input and the output.

use proptest::prelude::*;

use super::handler::{MEDIUM_SIZE, content, file_of, get, reply, small, statuses, stream};
use super::script::{Event, Room, TestLoop};
use crate::server::scratch::Scratch;

const LENGTH: &str = "POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\n\r\nGET / HTTP/";
const CHUNKED: &str = "POST /small HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                       5;x=y\r\nGET /\r\n0a\r\n HTTP/1.1\r\r\n0\r\nTrailer: t\r\n\r\n";
const HEAD: &str = "\r\nHEAD /medium HTTP/1.1\nHost: h\n\n";

/// Requests of every kind, and the replies to them.
fn conversation() -> (Vec<u8>, Vec<u8>) {
    let medium = file_of(MEDIUM_SIZE);
    let medium_head = medium[..medium.len() - MEDIUM_SIZE].to_vec();
    let none = reply("204 No Content", "X: y\r\n", b"");
    let unchanged = reply("304 Not Modified", "X: y\r\n", b"");
    let exchanges = [
        (get("/small"), small()),
        (HEAD.into(), medium_head),
        (LENGTH.into(), small()),
        (get("/medium"), medium),
        (CHUNKED.into(), small()),
        (get("/stream"), stream()),
        (get("/none"), none),
        (get("/unchanged"), unchanged),
        (get("/small"), small()),
    ];
    exchanges.into_iter().fold(
        (Vec::new(), Vec::new()),
        |(requests, replies), (request, reply)| {
            ([requests, request].concat(), [replies, reply].concat())
        },
    )
}

#[test]
pub(super) fn a_conversation_in_one_piece_is_answered_in_order() {
    let (requests, replies) = conversation();
    let mut stage = TestLoop::new();
    assert_eq!(stage.answer(&[&requests]), replies);
    assert!(stage.connection.is_idle());
    // One read drains the socket, however long the replies take to leave.
    assert_eq!(stage.script().reads, 1);
}

#[test]
pub(super) fn every_split_of_the_input_gives_the_same_output() {
    let (requests, replies) = conversation();
    let mut stage = TestLoop::new();
    for split in 1..requests.len() {
        let (front, rest) = requests.split_at(split);
        assert!(stage.answer(&[front, rest]) == replies, "split at {split}");
        assert!(stage.connection.is_idle(), "split at {split}");
    }
}

#[test]
pub(super) fn input_byte_by_byte_gives_the_same_output() {
    let (requests, replies) = conversation();
    let mut stage = TestLoop::new();
    let bytes: Vec<_> = requests.chunks(1).collect();
    assert!(stage.answer(&bytes) == replies);
    assert!(stage.connection.is_idle());
}

#[test]
pub(super) fn output_byte_by_byte_is_the_same_output() {
    let (requests, replies) = conversation();
    let mut stage = TestLoop::new();
    stage.script().most = 1;
    assert!(stage.answer(&[&requests]) == replies);
    assert!(stage.connection.is_idle());
}

#[test]
pub(super) fn every_cut_of_the_output_is_the_same_output() {
    let (requests, replies) = conversation();
    let whole = replies.len();
    let mut stage = TestLoop::new();
    // Every cut in heads and small bodies, and some cuts inside the file.
    let file = replies
        .windows(19)
        .position(|bytes| bytes == content(19))
        .unwrap();
    let inside = file + 40..file + MEDIUM_SIZE - 40;
    for cut in (1..whole).filter(|cut| !inside.contains(cut) || cut % 997 == 0) {
        stage.script().room = [Room::Take(cut)].into();
        assert!(stage.answer(&[&requests]) == replies, "cut at {cut}");
        stage.script().room = [Room::Take(cut), Room::WouldBlock].into();
        assert!(stage.answer(&[&requests]) == replies, "blocked at {cut}");
        assert!(stage.connection.is_idle(), "cut at {cut}");
    }
}

#[test]
pub(super) fn requests_behind_a_body_that_streams_wait_their_turn() {
    let mut stage = TestLoop::new();
    stage.script().room = [Room::Take(usize::MAX), Room::Take(5), Room::WouldBlock].into();
    let requests = [get("/medium"), get("/stream"), get("/small")];
    stage.receive(requests[..2].concat());
    stage.receive(&requests[2]);
    assert_eq!(stage.state(), "Streaming");
    stage.play();
    let replies = [file_of(MEDIUM_SIZE), stream(), small()].concat();
    // `play` has nothing more to deliver, so one writable edge must be enough for all replies.
    assert!(stage.output() == replies);
    assert!(stage.connection.is_idle());
}

#[test]
fn replies_beyond_a_batch_leave_in_order_in_several_writes() {
    let mut stage = TestLoop::new();
    let requests: Vec<_> = ["/inline", "/small"].map(get).concat().repeat(8);
    let output = stage.answer(&[&requests]);
    let replies = [file_of(super::handler::INLINE_SIZE), small()].concat();
    assert!(output == replies.repeat(8));
    assert_eq!(statuses(&output), [200; 16]);
    assert_eq!(stage.script().writes, [false; 5]);
}

/// Bytes of a body that a server with wrong framing would take for requests.
fn bytes(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(b"GET /:\r\n019".to_vec()), length)
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let paths = [
        "/small", "/medium", "/inline", "/stream", "/flood", "/none", "/error",
    ];
    prop_oneof![
        prop::sample::select(paths.to_vec()).prop_map(get),
        Just(Vec::from(HEAD)),
        bytes(0..40).prop_map(|body| {
            let length = body.len();
            let head =
                format!("POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
            [head.into_bytes(), body].concat()
        }),
        prop::collection::vec(bytes(1..40), 0..4).prop_map(|chunks| {
            let head = "POST /small HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
            let chunk = |chunk: &Vec<u8>| {
                [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()
            };
            let chunks: Vec<_> = chunks.iter().flat_map(chunk).collect();
            [head.as_bytes(), &chunks, b"0\r\n\r\n"].concat()
        }),
    ]
}

fn room() -> impl Strategy<Value = Room> {
    prop_oneof![
        1 => Just(Room::WouldBlock),
        4 => prop_oneof![1_usize..20, 1_usize..2000, Just(usize::MAX)].prop_map(Room::Take),
    ]
}

proptest! {
    #[test]
    fn any_cuts_of_any_requests_give_the_same_output(
        requests in prop::collection::vec(request(), 1..10).prop_map(|requests| requests.concat()),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        room in prop::collection::vec(room(), 0..40),
        scratch in prop_oneof![1_usize..300, Just(64 * 1024)],
        turn_requests in 1_usize..5,
        turn_bytes in prop_oneof![1000_usize..50_000, Just(usize::MAX)],
        hasty: bool,
    ) {
        let whole = TestLoop::new().answer(&[&requests]);
        let mut stage = TestLoop::with_config(crate::ServerConfig::default().with(|config| {
config.tuning.turn_requests = turn_requests;
config.tuning.turn_bytes = turn_bytes;
}));
        stage.scratch = Scratch::new(scratch);
        stage.script().room = room.into();
        stage.hasty = hasty;
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(requests.len())).collect();
        cuts.extend([0, requests.len()]);
        cuts.sort_unstable();
        for piece in cuts.windows(2).map(|cut| &requests[cut[0]..cut[1]]) {
            if !piece.is_empty() {
                stage.coming.push_back(Event::Bytes(piece.to_vec()));
            }
        }
        stage.play();
        prop_assert!(stage.output() == whole);
        prop_assert!(stage.connection.is_idle());
        let requests = stage.logged().into_iter().filter(|line| line.starts_with('"'));
        prop_assert_eq!(requests.count(), statuses(&whole).len());
    }
}
