from __future__ import annotations

import pytest

from .compare import compare
from .ledger.records import ClientLog, News, Record

NODE = "10.0.0.1:7650"
OTHER = "10.0.0.2:7650"


def journal(number: int, *, client: int = 1, publish: bool = False) -> list[str]:
    kinds = ("ran", "pushed", "published") if publish else ("ran", "pushed")
    return [f"a {kind} {client} {number} {NODE}" for kind in kinds]


def test_a_record_reads_what_it_has_written() -> None:
    record = Record("a", "published", 7, 12, NODE)
    assert record.line == "a published 7 12 10.0.0.1:7650"
    assert Record.of(record.line) == record
    with pytest.raises(ValueError, match="not 'walked'"):
        Record.of(f"a walked 7 12 {NODE}")


def test_a_run_without_a_fault_is_counted() -> None:
    lines = journal(0, publish=True) + journal(1) + journal(0, client=2)
    news = [News(1, 0, NODE, False)]
    logs = [
        ClientLog(1, 2, answered=[0, 1], pushed=[0, 1], news=news),
        ClientLog(2, 1, answered=[0], pushed=[0], news=news),
    ]
    counts = compare(lines, logs)
    assert (counts.faults, counts.gaps, counts.unheard) == ([], [], {})
    assert (counts.clients, counts.steadfast) == (2, 2)
    assert (counts.sent, counts.answered, counts.ran) == (3, 3, 3)
    assert (counts.pushed, counts.published) == (3, 2)
    assert counts.reconnects == {0: 2}
    assert counts.failed.total() == counts.lost.total() == 0
    assert "3 sent, 3 answered, 3 ran" in str(counts)


def test_what_failed_is_counted_apart_for_clients_that_came_back() -> None:
    logs = [
        ClientLog(1, 2, failed={0: "NANO-503: gone; sent at 1 s", 1: "no answer"}),
        ClientLog(2, 1, failed={0: "lost"}, losses=["1 s: moved (0)"], reconnects=1),
    ]
    counts = compare([], logs)
    assert counts.faults == []
    assert counts.failed == {"NANO-503: gone": 1, "no answer": 1}
    assert (counts.most_failed, counts.most_lost) == (2, 1)
    assert counts.lost == {"lost": 1}
    assert counts.losses == {"moved (0)": 1}
    assert counts.reconnects == {0: 1, 1: 1}


@pytest.mark.parametrize(
    ("lines", "log", "fault"),
    [
        (
            [],
            ClientLog(1, 1, answered=[0], pushed=[0]),
            "request 0 was answered and never ran",
        ),
        (
            journal(0) * 2,
            ClientLog(1, 1, answered=[0], pushed=[0]),
            "request 0 ran 2 times",
        ),
        (journal(0) * 2, ClientLog(1, 1, failed={0: "lost"}), "request 0 ran 2 times"),
        (
            journal(0),
            ClientLog(1, 2, answered=[0], pushed=[0]),
            "of 2 requests 1 are known",
        ),
        (
            journal(0),
            ClientLog(1, 1, answered=[0]),
            "answer 0 came without its push",
        ),
        (
            journal(0),
            ClientLog(1, 1, answered=[0], pushed=[0, 0]),
            "pushes: 0 came more than once",
        ),
        (
            journal(0) + journal(1),
            ClientLog(1, 2, answered=[0, 1], pushed=[1, 0]),
            "pushes: 0 came behind 1",
        ),
        (
            journal(0),
            ClientLog(1, 1, answered=[0], pushed=[0, 5]),
            "push 5 comes from nowhere",
        ),
        (
            journal(0, publish=True),
            ClientLog(
                1, 1, answered=[0], pushed=[0], news=[News(1, 0, NODE, False)] * 2
            ),
            "news of 1 at 10.0.0.1:7650: 0 came more than once",
        ),
        (journal(0, client=2), ClientLog(1), "no log of client 2"),
    ],
)
def test_a_fault_is_told(lines: list[str], log: ClientLog, fault: str) -> None:
    assert any(fault in it for it in compare(lines, [log]).faults)


def test_news_of_different_nodes_have_no_order_between_them() -> None:
    news = [News(1, 1, OTHER, False), News(1, 0, NODE, False)]
    log = ClientLog(2, news=news)
    lines = [f"a published 1 0 {NODE}", f"a published 1 1 {OTHER}"]
    assert compare(lines, [log]).faults == []


def test_pushes_that_a_steadfast_client_missed_are_gaps() -> None:
    lines = journal(0, publish=True)
    steadfast = ClientLog(1, 1, failed={0: "NANO-503: gone"})
    other = ClientLog(2, losses=["1 s: cut (1006)"], reconnects=1)
    counts = compare(lines, [steadfast, other])
    assert counts.gaps == [(1, 0)]
    assert counts.unheard == {(1, 0, NODE): 1}
    assert counts.faults == []


def test_a_push_of_a_handler_that_was_killed_is_no_fault() -> None:
    log = ClientLog(1, 1, failed={0: "NANO-503: gone"}, pushed=[0])
    assert compare([], [log]).faults == []
