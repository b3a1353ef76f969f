"""The table of docs/concepts.md is what the code does and other pages say."""

from __future__ import annotations

import re
from pathlib import Path

from nano import errors
from nano.client.connection import BROKEN, LATE, SILENT
from nano.client.returning import RETURN_CODES, worth_returning
from nano.client.streams import ABNORMAL
from nano.transports.arrival import FOR_NOW, REFUSALS
from nano.transports.websocket import CLOSE_CODES

from .test_listeners_page import rows as reasons_of_listeners

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "concepts.md").read_text()
STATUSES = {
    errors.BAD_REQUEST,
    errors.NOT_FOUND,
    errors.OVERLOADED,
    errors.INTERNAL,
    errors.UNAVAILABLE,
    errors.TIMEOUT,
}


def rows(kind: str) -> list[tuple[str, str, str]]:
    """Name, code and whether to try again, of the rows with such a name."""
    table = PAGE.partition("| | status or code |")[2].partition("\n\n")[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()[2:]
    ]
    return [(it[0], it[1], it[3]) for it in cells if re.fullmatch(kind, it[0])]


def test_every_status_that_we_answer_is_in_the_table() -> None:
    codes = {code for _, code, _ in rows("answer")}
    assert codes - {"any other"} == {str(status) for status in STATUSES}
    again = {code for _, code, it in rows("answer") if it.startswith("yes")}
    assert again == {"429", "503", "504"}


def test_reasons_have_the_codes_that_are_sent() -> None:
    table = {name.strip("`"): (code, again) for name, code, again in rows("`.*`")}
    assert set(CLOSE_CODES) | set(REFUSALS) <= set(table)
    listed = reasons_of_listeners()
    for reason, (code, again) in table.items():
        if reason in {"connection-lost", "slow-client"}:  # without a close
            assert (code, again) == (str(ABNORMAL), "yes")
            assert worth_returning(None, ABNORMAL)
            continue
        assert code == listed[reason][0], reason
        if reason != "kicked":
            assert again == ("yes" if listed[reason][1] else "no"), reason
        if code.isdecimal() and int(code) in RETURN_CODES:
            assert again == "yes", reason
    assert {it for it in REFUSALS if table[it][1] == "yes"} == FOR_NOW


def test_our_client_comes_back_after_codes_of_its_own() -> None:
    table = rows("our client")
    assert {int(code) for _, code, _ in table} == {BROKEN, SILENT, LATE}
    for _, code, again in table:
        assert (again == "yes") == worth_returning(None, int(code))


def test_every_page_is_in_the_index_and_every_link_leads_somewhere() -> None:
    index = (DOCS / "README.md").read_text()
    linked = set(re.findall(r"\]\(([a-z-]+\.md)\)", index))
    assert linked == {it.name for it in DOCS.glob("*.md")} - {"README.md"}
    for page in DOCS.glob("*.md"):
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            if "://" not in link:
                assert (page.parent / link).exists(), (page.name, link)
