//! How long a connection is read from after its last reply.

use std::time::Duration;

use super::script::{Ended, Event, MOVED, TestLoop};
use crate::config::ServerConfig;
use crate::server::connection::readable::Readable;
use crate::wire::next::Next;

#[test]
pub(super) fn lingering_goes_on_while_bytes_come_and_ends_at_its_time() {
    let config = ServerConfig {
        linger_timeout: Duration::from_secs(5),
        linger_time: Duration::from_secs(30),
        ..ServerConfig::default()
    };
    let mut stage = TestLoop::with_config(config);
    let began = stage.context.clock.instant;
    assert_eq!(stage.receive(b"\x16"), MOVED);
    // In the last seconds the deadline is not renewed, because it would end too late.
    for (seconds, progress) in [(4, true), (25, true), (26, false), (29, false)] {
        stage.context.clock.instant = began + Duration::from_secs(seconds);
        let outcome = stage.receive(vec![0; 1 << 20]);
        assert_eq!(outcome, Ended::waiting(progress), "after {seconds} s");
        assert_eq!(stage.state(), "Lingering(None)");
    }
    let reads = stage.script().reads;
    stage.context.clock.instant = began + Duration::from_secs(30);
    assert_eq!(stage.receive(b"0"), Next::Close);
    assert_eq!((stage.script().reads, stage.script().shutdowns), (reads, 1));
}

#[test]
pub(super) fn lingering_ends_at_a_timeout_without_a_byte() {
    let mut stage = TestLoop::new();
    stage.receive(b"\x16");
    stage.expire();
    assert_eq!((stage.state(), stage.script().shutdowns), ("Closed", 1));
}

#[test]
pub(super) fn lingering_without_a_limit_goes_on_as_long_as_bytes_come() {
    let mut stage = TestLoop::with_config(ServerConfig {
        linger_timeout: Duration::MAX,
        linger_time: Duration::MAX,
        ..ServerConfig::default()
    });
    stage.receive(b"\x16");
    stage.context.clock.instant += Duration::from_secs(365 * 24 * 3600);
    stage.receive(vec![0; 1 << 20]);
    assert_eq!(stage.state(), "Lingering(None)");
    assert_eq!(stage.receive_last(b"x", Event::Eof), Next::Close);
}

#[test]
fn what_is_read_while_lingering_is_a_part_of_the_turn() {
    let mut stage = TestLoop::with_config(
        ServerConfig::default().with(|config| config.tuning.turn_bytes = 100_000),
    );
    stage.receive(b"\x16");
    let reads = stage.script().reads;
    // A read takes 64 KiB, so two reads spend the share.
    assert_eq!(stage.receive(vec![0; 300_000]), Next::Yield);
    assert_eq!(
        (stage.state(), stage.script().reads),
        ("Lingering(None)", reads + 2)
    );
    assert_eq!(stage.connection.left(), 2 * 65536);
    assert_eq!(stage.advance(Readable::No), Next::Yield);
    assert_eq!(stage.advance(Readable::No), MOVED);
    assert_eq!(stage.connection.left(), 300_000);
    assert_eq!(stage.receive_last(b"", Event::Eof), Next::Close);
}
