//! A turn ends when its budget is spent, and the next one goes on where it ended.

use super::handler::{FILE_SIZE, file_of, get, small, statuses, stream};
use super::script::{Event, MOVED, TestLoop};
use crate::config::ServerConfig;
use crate::server::connection::readable::Readable;
use crate::wire::next::Next;

fn turn_bytes(turn_bytes: usize) -> TestLoop<super::handler::Handler> {
    TestLoop::with_config(
        ServerConfig::default().with(|config| config.tuning.turn_bytes = turn_bytes),
    )
}

fn turn_requests(turn_requests: usize) -> TestLoop<super::handler::Handler> {
    TestLoop::with_config(
        ServerConfig::default().with(|config| config.tuning.turn_requests = turn_requests),
    )
}

#[test]
pub(super) fn a_large_file_yields_when_its_share_of_the_turn_is_sent() {
    let mut stage = turn_bytes(1000);
    let whole = file_of(FILE_SIZE);
    let mut turns = 1;
    let mut sent = Vec::new();
    let mut outcome = stage.receive(get("/file"));
    while outcome == Next::Yield {
        assert_eq!(stage.state(), "Streaming");
        sent.extend(stage.output());
        assert_eq!(sent.len(), whole.len() - FILE_SIZE + turns * 1000);
        outcome = stage.advance(Readable::No);
        turns += 1;
    }
    sent.extend(stage.output());
    assert!(sent == whole);
    assert_eq!(turns, FILE_SIZE.div_ceil(1000));
    assert!(stage.connection.is_idle());
}

#[test]
pub(super) fn the_share_of_a_turn_is_that_of_all_its_replies() {
    let mut stage = turn_bytes(FILE_SIZE + 1000);
    assert_eq!(stage.receive(get("/file").repeat(2)), Next::Yield);
    let (first, whole) = (stage.output(), file_of(FILE_SIZE));
    assert_eq!(first.len(), whole.len() * 2 - FILE_SIZE + 1000);
    stage.advance(Readable::No);
    assert!([first, stage.output()].concat() == whole.repeat(2));
}

#[test]
pub(super) fn a_source_that_has_nothing_is_asked_again_in_the_next_turn() {
    let mut stage = turn_bytes(usize::MAX);
    let mut yields = 0;
    let mut outcome = stage.receive(get("/stream"));
    while outcome == Next::Yield {
        assert_eq!(stage.state(), "Streaming");
        yields += 1;
        outcome = stage.advance(Readable::No);
    }
    // After each of its three pieces.
    assert_eq!((yields, stage.output()), (3, stream()));
}

#[test]
pub(super) fn a_source_yields_when_its_share_of_the_turn_is_sent() {
    let mut stage = turn_bytes(60);
    let chunk = "0000000d\r\na piece of it\r\n";
    assert_eq!(stage.receive(get("/flood")), Next::Yield);
    // One chunk leaves with the head; three more go beyond 60 bytes.
    let output = String::from_utf8(stage.output()).unwrap();
    assert!(
        output.ends_with(&format!("\r\n\r\n{}", chunk.repeat(4))),
        "{output}"
    );
    assert_eq!(stage.advance(Readable::No), Next::Yield);
    assert_eq!(stage.output(), chunk.repeat(3).as_bytes());
    stage.play();
    let rest = chunk.repeat(43) + "0\r\n\r\n";
    assert_eq!(stage.output(), rest.as_bytes());
    assert!(stage.connection.is_idle());
}

#[test]
pub(super) fn requests_beyond_the_budget_are_answered_in_the_next_turns() {
    let mut stage = turn_requests(3);
    let requests = [get("/small").repeat(7), b"GET /sm".to_vec()].concat();
    assert_eq!(stage.receive(requests), Next::Yield);
    assert_eq!(
        (stage.state(), stage.output()),
        ("Parsing", small().repeat(3))
    );
    assert_eq!(stage.advance(Readable::No), Next::Yield);
    assert_eq!(
        (stage.state(), stage.output()),
        ("Parsing", small().repeat(3))
    );
    assert_eq!(stage.advance(Readable::No), MOVED);
    assert_eq!((stage.state(), stage.output()), ("Reading(Some)", small()));
    assert_eq!(stage.script().writes.len(), 3);
    assert_eq!(stage.answer(&[&get("/small")[7..]]), small());
    assert!(stage.connection.is_idle());
}

#[test]
pub(super) fn a_budget_that_is_just_enough_leaves_the_connection_idle() {
    let mut stage = turn_requests(2);
    assert_eq!(stage.receive(get("/small").repeat(2)), Next::Yield);
    assert_eq!(stage.advance(Readable::No), Next::Wait);
    assert_eq!(stage.output(), small().repeat(2));
    assert!(stage.connection.is_idle());
}

#[test]
pub(super) fn bytes_that_came_while_others_had_their_turn_are_read() {
    let mut stage = turn_requests(1);
    assert_eq!(stage.receive(get("/small")), Next::Yield);
    // The event comes before the next turn of the queue, and its turn has a budget of one request again.
    assert_eq!(stage.receive(get("/small")), Next::Yield);
    assert_eq!(stage.receive_last(get("/small"), Event::Eof), Next::Yield);
    stage.play();
    assert_eq!(stage.output(), small().repeat(3));
    assert_eq!(stage.state(), "Closed");
}

#[test]
pub(super) fn a_file_behind_the_last_request_of_the_budget_is_sent_in_this_turn() {
    let mut stage = turn_requests(2);
    let requests = [get("/small"), get("/file"), get("/small")].concat();
    assert_eq!(stage.receive(requests), Next::Yield);
    assert_eq!(statuses(&stage.output()), [200, 200]);
    assert_eq!(stage.state(), "Parsing");
    stage.play();
    assert_eq!(stage.output(), small());
}
