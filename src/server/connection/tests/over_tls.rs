//! The same connections over TLS, where the script cuts records in place of requests and replies.

use std::cell::Cell;

use super::script::{Event, Script, TestLoop};
use crate::handler::BaseHttpRequestHandler;
use crate::wire::socket::Socket;
use crate::wire::tls::test_peer::TestPeer;

thread_local! {
    static IS_ON: Cell<bool> = const { Cell::new(false) };
}

/// Whether connections are over TLS: a property holds for both.
pub(super) const BOTH: [bool; 2] = [false, true];

/// Has the connections that are made in this thread from now on go over TLS, or not.
pub(super) fn set(is_on: bool) {
    IS_ON.set(is_on);
}

/// What moves the bytes of a test.
pub(super) type Wire = Socket<Script>;
/// The client of TLS, if that is on.
pub(super) type Peer = Option<TestPeer>;

pub(super) fn open(script: Script) -> (Wire, Peer) {
    if IS_ON.get() {
        let (peer, stream) = TestPeer::new();
        (Socket::over_tls(script, stream), Some(peer))
    } else {
        (Socket::plain(script), None)
    }
}

pub(super) fn script(wire: &Wire) -> &Script {
    wire.stream()
}

pub(super) fn script_mut(wire: &mut Wire) -> &mut Script {
    wire.stream_mut()
}

impl<H: BaseHttpRequestHandler> TestLoop<H> {
    /// Completes the handshake, if the connection is over TLS.
    pub(super) fn shake_hands(&mut self) {
        while self.peer.as_ref().is_some_and(TestPeer::is_handshaking)
            || self.state() == "Handshaking"
        {
            self.receive("");
            assert!(self.output().is_empty());
        }
        let script = self.script();
        script.reads = 0;
        script.writes.clear();
        self.context.server.counters.tls_handshakes = 0;
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        let records = match &mut self.peer {
            None => bytes.to_vec(),
            Some(peer) => peer.seal(bytes),
        };
        self.script().arrived.extend(records);
    }

    pub(super) fn send_end(&mut self, end: &Event) {
        if let (Event::Eof, Some(peer)) = (end, &mut self.peer) {
            let records = peer.close();
            self.script().arrived.extend(records);
        }
    }

    /// Returns what the client finds in `output`.
    pub(super) fn opened(&mut self, output: Vec<u8>) -> Vec<u8> {
        match &mut self.peer {
            None => output,
            Some(peer) => peer.open(&output),
        }
    }
}

/// Runs tests of these modules over TLS. Those are left out that count writes, or the bytes which the socket takes: these are sealed
/// here.
macro_rules! over_tls {
    ($($module:ident: $($test:ident),+;)+) => {
        $(mod $module {
            $(#[test]
            fn $test() {
                super::set(true);
                crate::server::connection::tests::$module::$test();
            })+
        })+
    };
}

over_tls! {
    bodies: a_100_continue_leaves_behind_the_replies_before_it, a_body_has_to_keep_its_pace, a_body_that_has_begun_is_not_asked_for, a_body_without_bytes_is_complete_with_its_head, a_malformed_chunked_body_is_refused_and_nothing_behind_it_is_read, a_peer_of_http_1_0_gets_no_100_continue, an_expected_100_continue_is_sent_once_and_before_the_body, an_http_1_0_server_sends_no_100_continue, bodies_are_no_requests_wherever_they_are_cut;
    budgets: a_budget_that_is_just_enough_leaves_the_connection_idle, a_file_behind_the_last_request_of_the_budget_is_sent_in_this_turn, a_large_file_yields_when_its_share_of_the_turn_is_sent, a_source_that_has_nothing_is_asked_again_in_the_next_turn, a_source_yields_when_its_share_of_the_turn_is_sent, bytes_that_came_while_others_had_their_turn_are_read, requests_beyond_the_budget_are_answered_in_the_next_turns, the_share_of_a_turn_is_that_of_all_its_replies;
    closing: a_408_that_the_socket_does_not_take_waits_for_room, a_begun_head_that_does_not_end_in_time_is_answered_with_408, a_body_that_does_not_end_in_time_is_answered_with_408, a_close_of_our_own_lingers, a_peer_that_asked_for_nothing_is_closed_silently, a_peer_that_asked_for_the_close_and_may_have_sent_more_is_lingered_for, a_peer_that_asks_for_the_close_and_is_read_to_the_end_is_closed_at_once, a_peer_that_closed_its_side_still_gets_the_whole_answer, a_peer_that_closes_in_the_middle_of_a_request_is_closed_silently, a_peer_that_does_not_read_is_closed, a_peer_that_reads_nothing_is_reset_so_that_the_kernel_keeps_nothing_for_it, a_peer_that_reads_slowly_what_the_kernel_has_for_it_is_waited_for, a_refused_head_request_gets_no_body, a_reset_before_anything_was_sent_is_logged_without_content, a_reset_closes_in_every_state, a_server_of_http_1_0_answers_one_request_a_connection, an_http_1_0_peer_stays_only_if_it_asks_to, http_0_9_gets_the_body_alone_and_the_close, replies_are_logged_once_with_their_content, while_the_server_drains_every_reply_is_the_last;
    file_bodies: a_body_is_sent_to_a_client_that_has_closed_its_side, a_body_that_does_not_come_in_time_ends_its_connection, a_body_waits_for_the_thread_that_reads_it, a_head_request_reads_nothing_of_a_body, the_log_says_that_a_body_has_waited_for_a_file;
    files: a_client_that_has_closed_its_side_is_told_of_and_gets_its_replies, a_file_that_does_not_come_in_time_is_a_503_and_the_connection_goes_on, a_file_that_is_there_at_once_costs_no_turn, a_head_request_and_a_last_request_get_their_503_too, a_reply_that_fails_after_the_wait_is_a_500_and_the_connection_goes_on, a_request_waits_for_its_file_and_its_successors_wait_for_it, a_second_wait_of_the_same_request_has_a_deadline_of_its_own, requests_may_be_cut_and_half_closed_at_any_point_around_a_wait, the_log_says_that_a_reply_has_waited_for_a_file, work_is_dropped_when_its_client_is_gone_at_any_point;
    lingering: lingering_ends_at_a_timeout_without_a_byte, lingering_goes_on_while_bytes_come_and_ends_at_its_time, lingering_without_a_limit_goes_on_as_long_as_bytes_come;
    replies: a_failing_handler_becomes_a_clean_500_and_the_connection_goes_on, a_failure_shows_its_reason_to_the_log_and_not_to_the_peer, a_file_that_has_shrunk_before_its_head_left_is_a_clean_500, a_source_for_http_1_0_ends_with_the_connection, a_source_that_fails_ends_without_its_end_mark, an_unsupported_method_is_answered_and_the_connection_goes_on, head_is_get_without_the_body, replies_that_have_no_body_get_none;
    splits: a_conversation_in_one_piece_is_answered_in_order, every_cut_of_the_output_is_the_same_output, every_split_of_the_input_gives_the_same_output, input_byte_by_byte_gives_the_same_output, output_byte_by_byte_is_the_same_output, requests_behind_a_body_that_streams_wait_their_turn;
    states: a_begun_head_waits_without_progress_for_its_absolute_deadline, a_body_on_its_way_makes_progress_byte_by_byte, a_closed_connection_touches_nothing, a_new_connection_is_idle_and_reads_only_when_told, a_refused_peer_is_lingered_for_and_then_closed, a_request_that_arrives_whole_takes_one_read_and_one_write, pipelined_requests_leave_in_one_write, requests_beyond_the_budget_wait_in_parsing, the_head_behind_an_answered_request_has_begun, the_static_handler_answers_in_one_read_and_one_write, the_table_of_states_is_true;
    unwanted: a_body_is_discarded_while_the_socket_takes_no_more_of_the_reply, a_body_of_which_nothing_comes_ends_the_connection, a_body_that_is_not_read_to_its_end_closes_an_http_1_0_connection_late, a_body_that_trickles_is_read_for_the_time_of_lingering, a_chunked_body_that_gets_beyond_the_limit_ends_the_connection, a_client_that_waits_to_be_told_is_told_and_answered_at_once, a_peer_that_closes_its_side_within_the_body_has_its_answer, an_announced_body_beyond_the_limit_is_answered_for_the_last_time, bodies_up_to_the_limit_are_discarded_and_the_connection_stays, framing_that_is_wrong_is_400_where_it_is_seen_before_the_answer_and_the_close_after_it, the_answer_does_not_wait_for_the_body_and_the_next_request_is_in_step;
    work: a_client_that_has_only_closed_its_side_gets_its_reply, a_stream_of_work_waits_for_the_socket_as_others_do, each_turn_does_a_slice_and_replies_stay_in_order, the_log_counts_the_time_of_the_work, without_time_nothing_goes_on, work_is_given_up_when_its_client_has_left, work_that_fails_or_panics_is_a_500_and_the_connection_goes_on;
}
