"""The defects of Go nano, and for each the tests of what is right instead.

The numbers are those under which they were found, in Go nano v0.5.1 or in its code: 1
to 17 are those of one node, from 20 on those of a cluster.  A test that is renamed or
deleted fails here, and so does a story (``cluster/stories``).
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__).parent


class Defect(NamedTuple):
    """What nano does, and the tests that we do not, by file."""

    nano: str
    tests: dict[str, list[str]]


DEFECTS = {
    1: Defect(
        "the write loop dead-locks itself under a steady flow of pushes",
        {
            "transports/test_defects.py": [
                "test_20_000_pushes_arrive_and_who_goes_meanwhile_holds_up_nobody"
            ],
            "transports/test_flow.py": [
                "test_pushes_of_one_turn_leave_in_one_write_and_in_order"
            ],
        },
    ),
    2: Defect(
        "closing a session from a handler behind hundreds of messages stops the server",
        {
            "transports/test_defects.py": [
                "test_a_close_behind_hundreds_of_messages_is_done_and_others_are_served"
            ],
            "transports/test_flow.py": [
                "test_a_kick_within_a_handler_stops_what_was_read_with_it",
                "test_a_kick_while_paused_stops_what_waits",
            ],
        },
    ),
    3: Defect(
        "a compressed route of fewer than two bytes ends the process",
        {
            "transports/test_defects.py": [
                "test_a_malformed_route_ends_its_own_connection_only"
            ],
            "protocol/test_messages.py": [
                "test_messages_are_decoded_as_nano_decodes_them",
                "test_garbage_is_a_message_or_a_protocol_error",
            ],
            "endurance/test_fuzz.py": [
                "test_a_gate_does_with_anything_what_the_protocol_foretells"
            ],
        },
    ),
    4: Defect(
        "a handshake repeated over WebSocket while pushes flow ends the process",
        {
            "transports/test_defects.py": [
                "test_a_handshake_may_be_repeated_while_pushes_flow_by_websocket"
            ],
            "transports/test_connection.py": [
                "test_a_second_greeting_keeps_the_session",
                "test_greetings_without_end_are_cut_off",
            ],
        },
    ),
    5: Defect(
        "raw handlers see the bytes of later messages",
        {
            "protocol/test_messages.py": [
                "test_a_payload_stays_when_the_buffer_moves_on"
            ],
        },
    ),
    6: Defect(
        "sessions stay in the table for ever",
        {
            "transports/test_sockets.py": [
                "test_a_connection_may_die_at_any_moment",
            ],
            "endurance/test_soak.py": [
                "test_nothing_stays_of_clients_that_left_in_every_manner"
            ],
        },
    ),
    7: Defect(
        "the 18th push in a row from one handler is lost",
        {
            "transports/test_defects.py": [
                "test_a_burst_of_pushes_from_one_handler_arrives_whole"
            ],
        },
    ),
    8: Defect(
        "clients that read slowly, or never, are not dropped",
        {
            "transports/test_sockets.py": [
                "test_a_slow_reader_is_cut_and_others_are_served_meanwhile"
            ],
            "transports/test_flow.py": [
                "test_a_client_that_does_not_read_is_cut_at_its_backlog",
                "test_whoever_does_not_read_a_farewell_is_cut_off_in_the_end",
            ],
            "endurance/test_memory.py": [
                "test_a_client_that_stops_reading_costs_no_more_than_its_backlog"
            ],
        },
    ),
    9: Defect(
        "the decoder stalls on short bodies, and sizes, routes and ids are not checked",
        {
            "protocol/test_packets.py": [
                "test_a_short_body_that_comes_alone_does_not_stall",
                "test_the_limit_is_inclusive_and_seen_before_the_body_arrives",
            ],
            "protocol/test_messages.py": [
                "test_what_does_not_fit_the_wire_is_refused",
                "test_the_longest_message_fills_a_packet_and_one_byte_more_is_refused",
                "test_an_error_says_what_is_wrong",
            ],
            "transports/test_flow.py": [
                "test_a_push_that_cannot_be_sent_is_the_handlers_error"
            ],
        },
    ),
    10: Defect(
        "requests that fail get no answer",
        {
            "transports/test_connection.py": ["test_every_request_is_answered"],
            "runtime/test_dispatch.py": [
                "test_no_result_is_answered_500",
                "test_an_exception_is_answered_500_without_its_text_and_logged_once",
                "test_an_unknown_route_is_answered_404_and_counted_as_unknown",
                "test_a_handler_that_takes_too_long_is_cancelled_and_answered_504",
            ],
            "runtime/test_payloads.py": [
                "test_a_payload_of_another_form_is_answered_400"
            ],
            "node/test_cluster.py": ["test_every_failure_is_answered"],
        },
    ),
    11: Defect(
        "no kick, reason or close frame, and what is queued is lost at a close",
        {
            "transports/test_flow.py": ["test_a_kick_says_why_and_closes"],
            "transports/test_sockets.py": [
                "test_an_error_gets_a_kick_and_then_the_end_of_the_stream",
                "test_a_kick_reaches_a_client_that_is_still_sending",
                "test_kick_and_close_frame_reach_a_websocket_client",
            ],
            "transports/test_websocket.py": [
                "test_a_farewell_is_a_kick_and_a_close_with_the_same_reason"
            ],
        },
    ),
    12: Defect(
        "no handshake time-out, and no limit on connections, rates or greeting",
        {
            "transports/test_connection.py": [
                "test_whoever_does_not_greet_in_time_is_sent_away",
                "test_heartbeats_do_not_stand_for_a_greeting",
            ],
            "transports/test_websocket.py": [
                "test_an_upgrade_that_comes_too_late_is_cut_off_without_a_word"
            ],
            "transports/test_admission.py": [
                "test_one_connection_too_many_is_kicked_and_may_come_back",
                "test_one_connection_of_an_address_too_many_is_kicked_for_good",
                "test_handshakes_over_the_rate_are_kicked_and_may_come_back",
                "test_who_sends_too_fast_for_long_is_kicked",
            ],
        },
    ),
    13: Defect(
        "the server's time, the count of connections, a broadcast's result are wrong",
        {
            "transports/test_defects.py": [
                "test_the_servers_time_is_that_of_the_handshake"
            ],
            "runtime/test_metrics.py": [
                "test_listeners_are_counted_by_reason_and_outcome"
            ],
            "groups/test_roll.py": [
                "test_one_member_that_fails_does_not_harm_the_others",
                "test_publishes_deliveries_and_members_are_counted",
            ],
        },
    ),
    14: Defect(
        "races: last-seen times, closing twice, closing groups, timers, callbacks",
        {
            "transports/test_defects.py": [
                "test_a_session_may_be_closed_from_everywhere_at_once"
            ],
            "transports/test_flow.py": ["test_only_the_first_reason_counts"],
            "transports/test_connection.py": ["test_any_byte_is_a_sign_of_life"],
            "runtime/test_session.py": [
                "test_the_end_of_a_session_is_told_once_after_it_has_left",
                "test_sessions_may_end_while_they_are_walked",
            ],
            "runtime/test_timers.py": ["test_a_timer_may_cancel_itself"],
            "groups/test_roll.py": [
                "test_a_closed_group_is_empty_and_refuses_everything",
                "test_a_session_that_ends_leaves_all_its_groups",
            ],
        },
    ),
    15: Defect(
        "a handler that blocks stalls all players, and there is no way out",
        {
            "transports/test_defects.py": [
                "test_a_handler_that_has_to_block_does_so_beside_the_others"
            ],
            "runtime/test_order.py": ["test_another_session_does_not_wait"],
            "local/test_up.py": ["test_clients_of_one_port_are_spread_over_the_gates"],
        },
    ),
    16: Defect(
        "everything is global: one server a process, and no restart within it",
        {
            "node/test_servers.py": [
                "test_two_servers_of_one_process_share_nothing_and_may_begin_again"
            ],
            "node/test_leaks.py": ["test_a_stopped_cluster_leaves_nothing_behind"],
            "runtime/test_metrics.py": ["test_two_nodes_of_one_process_count_apart"],
        },
    ),
    17: Defect(
        "no metrics, no health check, no structured log",
        {
            "runtime/test_metrics.py": ["test_counts_equal_what_was_sent"],
            "node/test_cluster.py": ["test_metrics_equal_what_was_done"],
            "admin/test_admin.py": [
                "test_a_living_node_is_alive_even_when_it_is_not_ready",
                "test_status_is_json",
            ],
            "local/test_logs.py": [
                "test_a_line_has_a_time_a_level_a_name_and_a_message"
            ],
        },
    ),
    20: Defect(
        "members that leave at the same time crash the master",
        {
            "cluster/test_stories.py": ["test_the_story_goes_as_written"],
            "cluster/stories/simultaneous-stop.txt": [],
            "cluster/test_server.py": [
                "test_twenty_that_start_and_stop_at_once_leave_no_trace"
            ],
            "peers/test_membership.py": [
                "test_go_nodes_that_stop_together_all_leave_in_good_order"
            ],
        },
    ),
    21: Defect(
        "nodes that start together never learn of each other",
        {
            "cluster/stories/simultaneous-start.txt": [],
            "cluster/test_server.py": [
                "test_six_members_that_join_at_once_all_see_each_other",
                "test_twenty_that_start_and_stop_at_once_leave_no_trace",
            ],
            "peers/test_membership.py": [
                "test_go_nodes_that_start_together_all_learn_of_each_other"
            ],
        },
    ),
    22: Defect(
        "one dead member blocks all joins until it is dropped",
        {
            "cluster/stories/dead-member-does-not-block-a-join.txt": [],
            "cluster/test_server.py": [
                "test_a_member_that_accepts_and_never_answers_holds_nobody_up"
            ],
            "peers/test_membership.py": [
                "test_a_go_node_that_is_killed_is_dropped_and_blocks_nobody"
            ],
        },
    ),
    23: Defect(
        "two dead members are never dropped, and nobody can ever join again",
        {
            "cluster/stories/two-dead-members.txt": [],
            "cluster/test_server.py": [
                "test_two_dead_members_keep_nobody_from_joining_and_are_dropped"
            ],
            "node/test_outages.py": [
                "test_two_backends_killed_at_once_keep_nobody_out"
            ],
        },
    ),
    24: Defect(
        "a member that was frozen is known to the master only, for ever",
        {
            "cluster/stories/freeze-and-thaw.txt": [],
            "cluster/test_registrar.py": [
                "test_who_was_dropped_and_beats_again_is_announced"
            ],
            "node/test_outages.py": [
                "test_a_backend_frozen_for_six_seconds_is_not_expelled"
            ],
        },
    ),
    25: Defect(
        "after a restart of the master, who registers gets a partial list",
        {
            "cluster/stories/master-restart.txt": [],
            "cluster/stories/master-restart-with-a-loss.txt": [],
            "cluster/test_server.py": ["test_a_master_that_comes_back_loses_nobody"],
            "node/test_outages.py": [
                "test_a_dead_master_is_not_noticed_and_finds_everybody_again"
            ],
        },
    ),
    26: Defect(
        "a backend that is back soon is in every table twice",
        {
            "cluster/stories/quick-return.txt": [],
            "cluster/stories/duplicate-announcements.txt": [],
            "cluster/test_server.py": [
                "test_a_member_back_under_its_address_replaces_itself"
            ],
            "links/test_grace.py": [
                "test_a_new_life_at_the_address_ends_what_was_kept_for_the_old",
                "test_a_member_back_with_other_services_serves_those_alone",
            ],
        },
    ),
    27: Defect(
        "a session bound to a backend that went gets silence for ever",
        {
            "links/test_forwarding.py": [
                "test_a_binding_to_a_lost_backend_is_dissolved",
                "test_what_a_lost_backend_owed_is_answered_503_and_nothing_else_is",
            ],
            "links/test_grace.py": [
                "test_messages_go_to_another_member_meanwhile",
                "test_a_backend_that_stops_is_gone_at_once",
            ],
            "node/test_outages.py": [
                "test_a_backend_killed_under_load_owes_nobody_and_is_used_again"
            ],
        },
    ),
    28: Defect(
        "a gate that goes leaves its sessions with the backends for ever",
        {
            "links/test_mirrors.py": [
                "test_a_lost_gate_closes_its_mirrors_and_no_others"
            ],
            "links/test_grace.py": [
                "test_grace_ends_what_was_kept_and_tells_it_once",
                "test_a_client_that_leaves_meanwhile_leaves_no_ghost",
                "test_a_gate_that_stops_is_gone_at_once",
            ],
            "node/test_outages.py": [
                "test_a_gate_that_is_killed_leaves_no_session_behind"
            ],
        },
    ),
    29: Defect(
        "after an outage, calls are lost for up to half a minute",
        {
            "cluster/test_calls.py": [
                "test_a_peer_that_returns_is_reached_within_a_second_or_so"
            ],
            "links/test_links.py": [
                "test_a_peer_out_of_reach_is_dialled_again_ever_slower_up_to_a_limit",
                "test_the_limit_of_the_back_off_is_a_second",
            ],
        },
    ),
    30: Defect(
        "without deadlines, a frozen backend blocks every client that talks to it",
        {
            "cluster/test_calls.py": ["test_a_call_ends_at_its_deadline"],
            "links/test_pending.py": [
                "test_a_backend_that_does_not_answer_in_time_is_answered_for_504"
            ],
            "testing/test_cluster.py": [
                "test_a_frozen_link_is_given_up_and_another_backend_serves"
            ],
            "links/test_grace.py": [
                "test_nobody_new_is_bound_to_a_suspect_while_there_is_another"
            ],
        },
    ),
    35: Defect(
        "gates with the same node id give the same session ids",
        {
            "runtime/test_session.py": ["test_ids_are_random_beyond_those_of_go"],
        },
    ),
    36: Defect(
        "two messages that make one backend session at once race",
        {
            "links/test_mirrors.py": [
                "test_a_session_is_introduced_in_front_of_its_first_message_only"
            ],
            "links/test_calls.py": [
                "test_a_session_that_comes_from_two_nodes_at_once_is_one_mirror"
            ],
            "cluster/test_gonodes.py": [
                "test_what_comes_at_once_for_a_new_client_makes_one_session"
            ],
            "endurance/test_storm.py": ["test_a_cluster_is_whole_after_a_storm"],
        },
    ),
    38: Defect(
        "anyone who reaches the port announces members; tables follow that alone",
        {
            "cluster/test_calls.py": [
                "test_announcements_of_a_stranger_are_not_believed",
                "test_only_a_master_is_a_master",
            ],
            "cluster/test_roster.py": ["test_losing_the_master_loses_nobody"],
            "cluster/test_mutual_tls.py": [
                "test_who_has_no_certificate_of_ours_does_not_get_as_far_as_a_call",
                "test_only_a_master_announces_members",
            ],
            "node/test_rotation.py": ["test_a_stranger_has_no_link"],
            "links/test_grace.py": [
                "test_a_healthy_member_that_the_master_drops_goes_on"
            ],
        },
    ),
    39: Defect(
        "connections to members that have gone are never closed",
        {
            "cluster/test_calls.py": [
                "test_closing_a_peer_fails_its_calls_and_cancels_nobody"
            ],
            "links/test_links.py": [
                "test_a_member_that_is_gone_has_no_link_and_is_not_dialled"
            ],
            "cluster/test_server.py": [
                "test_twenty_that_start_and_stop_at_once_leave_no_trace"
            ],
        },
    ),
    40: Defect(
        "what a member says of itself never changes, and no client address is known",
        {
            "cluster/stories/news-of-a-member.txt": [],
            "cluster/test_server.py": [
                "test_who_drains_is_known_to_drain",
                "test_news_of_the_master_reach_the_members",
            ],
            "cluster/test_members.py": ["test_a_member_is_read_as_it_was_written"],
        },
    ),
}


@cache
def names_in(file: str) -> frozenset[str]:
    """Return the names of the tests in a file of this folder; a story has none."""
    text = (HERE / file).read_text()
    if not file.endswith(".py"):
        return frozenset()
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return frozenset(
        node.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, kinds) and node.name.startswith("test_")
    )


def test_every_defect_is_listed() -> None:
    assert list(DEFECTS) == [*range(1, 18), *range(20, 31), 35, 36, 38, 39, 40]


@pytest.mark.parametrize("number", DEFECTS)
def test_a_defect_has_tests_of_what_is_right(number: int) -> None:
    defect = DEFECTS[number]
    assert defect.nano
    assert defect.tests
    for file, names in defect.tests.items():
        assert bool(names) is file.endswith(".py")
        assert set(names) <= names_in(file), file
