//! What a line of the log says the reply has waited for longest.

use std::time::Duration;

use super::handler::{Handler, get};
use super::script::{Room, TestLoop};
use crate::config::{LogFormat, ServerConfig};
use crate::wire::next::Next;

const SECOND: Duration = Duration::from_secs(1);

fn stage(format: LogFormat) -> TestLoop<Handler> {
    TestLoop::with_config(ServerConfig::default().with(|config| config.log_format = format))
}

/// What each line of the log says about the wait.
fn limits(stage: &TestLoop<Handler>) -> Vec<String> {
    let log = stage.log();
    let limit = |line: &str| line.rsplit_once("\"limited\":").unwrap().1.to_owned();
    log.lines().map(limit).collect()
}

fn pass(stage: &mut TestLoop<Handler>, time: Duration) {
    stage.context.clock.instant += time;
}

#[test]
fn a_reply_that_leaves_at_once_has_waited_for_nothing() {
    let mut stage = stage(LogFormat::Json);
    for _ in 0..2 {
        stage.receive(get("/small"));
        pass(&mut stage, SECOND);
    }
    assert_eq!(limits(&stage), ["null}"; 2]);
}

#[test]
fn a_full_socket_is_the_clients_as_far_as_its_window_was_full() {
    for (window, expected) in [
        (None, "\"client\"}"),
        (Some(SECOND), "\"client\"}"),
        (Some(SECOND * 3 / 5), "\"client\"}"),
        (Some(SECOND * 2 / 5), "\"net\"}"),
        (Some(Duration::ZERO), "\"net\"}"),
        // The kernel counts more finely than the loop.
        (Some(SECOND * 2), "\"client\"}"),
    ] {
        let mut stage = stage(LogFormat::Json);
        let before = Duration::from_secs(60);
        stage.script().window_limited = window.map(|_| before);
        stage.script().room.push_back(Room::Take(10));
        assert_eq!(stage.receive(get("/small")), Next::Wait);
        pass(&mut stage, SECOND);
        stage.script().window_limited = window.map(|window| before + window);
        stage.drain();
        assert_eq!(limits(&stage), [expected], "{window:?}");
        // The wait is over, so the next reply has none.
        pass(&mut stage, SECOND);
        stage.receive(get("/small"));
        assert_eq!(limits(&stage), [expected, "null}"]);
    }
}

#[test]
fn a_reply_behind_another_one_waits_with_it() {
    let mut stage = stage(LogFormat::Json);
    stage.script().room.push_back(Room::Take(10));
    stage.receive(get("/small").repeat(2));
    pass(&mut stage, SECOND);
    stage.drain();
    assert_eq!(limits(&stage), ["\"client\"}"; 2]);
}

#[test]
fn the_longer_of_two_waits_counts() {
    for (turn, socket, expected) in [(3, 1, "\"loop\"}"), (1, 3, "\"client\"}")] {
        let mut stage = stage(LogFormat::Json);
        stage.script().room.push_back(Room::Take(10));
        stage.receive(get("/small"));
        pass(&mut stage, SECOND * socket);
        // The socket has room, but the loop lets the connection wait.
        stage.connection.await_turn(&stage.context);
        pass(&mut stage, SECOND * turn);
        stage.drain();
        assert_eq!(limits(&stage), [expected]);
    }
}

#[test]
fn a_share_that_is_spent_is_a_wait_for_the_loop() {
    let config = ServerConfig::default().with(|config| {
        config.log_format = LogFormat::Json;
        config.tuning.turn_bytes = 100;
    });
    let mut stage = TestLoop::with_config(config);
    assert_eq!(stage.receive(get("/file")), Next::Yield);
    pass(&mut stage, SECOND);
    stage.play();
    assert_eq!(limits(&stage), ["\"loop\"}"]);
}

#[test]
fn a_reply_that_breaks_off_says_what_it_waited_for() {
    let mut stage = stage(LogFormat::Json);
    stage.script().room.push_back(Room::Take(10));
    stage.receive(get("/small"));
    pass(&mut stage, SECOND);
    stage.connection.abandon(&mut stage.context);
    assert_eq!(limits(&stage), ["\"client\"}"]);
}

#[test]
fn without_json_lines_the_kernel_is_not_asked_and_nothing_is_noted() {
    let mut stage = stage(LogFormat::Common);
    stage.script().room.push_back(Room::Take(10));
    stage.receive(get("/small"));
    assert!(format!("{:?}", stage.connection).contains("waiting: None"));
}
