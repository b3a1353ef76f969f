from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from logging.handlers import TimedRotatingFileHandler
from pathlib import Path

import pytest

from nano import Component, RequestError, Session, handler
from nano.admin.levels import level, set_level
from nano.cli.node import node as command
from nano.errors import UsageError
from nano.local.logs import Format, configure
from nano.testing import MemoryNode

PAGE = (Path(__file__).parents[2] / "docs" / "logs.md").read_text()


@pytest.fixture(autouse=True)
def _logging_stays_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before, number = root.handlers[:], root.level
    yield
    for added in root.handlers:
        if added not in before:
            added.close()
    root.handlers[:] = before
    root.setLevel(number)
    for name in ("aiohttp", "asyncio", "grpc", "websockets"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_a_line_has_a_time_a_level_a_name_and_a_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("info")
    logging.getLogger("nano.node").info("%s is ready", "gate")
    line = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info    nano\.node: gate is ready\n"
    assert re.fullmatch(line, capsys.readouterr().err)


def test_a_short_line_has_the_time_of_day(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", short=True)
    logging.getLogger("chat").warning("full")
    line = r"\d\d:\d\d:\d\d\.\d{3} warning chat: full\n"
    assert re.fullmatch(line, capsys.readouterr().err)


def test_what_is_less_important_than_the_level_is_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("warning")
    logging.getLogger("nano.node").info("ready")
    logging.getLogger("nano.node").error("broken")
    said = capsys.readouterr().err
    assert "ready" not in said
    assert "broken" in said


def test_libraries_are_quiet_unless_everything_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("info")
    logging.getLogger("grpc").info("detail")
    assert capsys.readouterr().err == ""
    configure("debug")
    logging.getLogger("grpc").debug("detail")
    assert "detail" in capsys.readouterr().err


# ------------------------------------------------------------------------------ JSON


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return the only line that was written."""
    (line,) = capsys.readouterr().err.splitlines()
    found = json.loads(line)
    assert isinstance(found, dict)
    return found


def test_a_line_for_machines_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", form="json", about={"node": "10.0.0.7:7650", "backend": ""})
    logging.getLogger("nano.node").info("%s says\n%s", "gate", '"hi"')
    line = said(capsys)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "info",
        "logger": "nano.node",
        "message": 'gate says\n"hi"',
        "node": "10.0.0.7:7650",
    }


@pytest.mark.parametrize(
    ("form", "short", "is_json"),
    [
        ("auto", False, True),  # standard error is no terminal here
        ("auto", True, False),
        ("human", False, False),
        ("json", True, True),
    ],
)
def test_auto_is_for_people_only_where_they_watch(
    capsys: pytest.CaptureFixture[str], form: Format, short: bool, is_json: bool
) -> None:
    configure("info", form=form, short=short)
    logging.getLogger("nano").info("here")
    assert capsys.readouterr().err.startswith("{") is is_json


class Shop(Component):
    @handler
    def buy(self, session: Session, payload: dict[str, str]) -> None:
        session.bind("ann")
        raise RuntimeError("out of stock")


async def test_a_failing_handler_is_one_record_with_its_traceback_and_whose_it_was(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with MemoryNode(Shop) as node, await node.connect() as client:
        configure("info", form="json")
        with pytest.raises(RequestError, match="failed"):
            await client.request("Shop.buy", {"card": "4111-secret"})
        text = capsys.readouterr().err
        (line,) = [json.loads(it) for it in text.splitlines()]
        assert "4111-secret" not in text
        assert (line["level"], line["logger"]) == ("error", "nano.runtime.dispatch")
        assert line["route"] == "Shop.buy"
        assert line["uid"] == "ann"
        assert int(line["session"]) >= 2**62
        assert line["exception"].startswith("Traceback")
        assert line["exception"].endswith("RuntimeError: out of stock")
        assert node.count("nano_handler_exceptions_total", route="Shop.buy") == 1


async def test_what_clients_and_their_payloads_say_is_not_logged_even_at_debug(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with MemoryNode(Shop) as node, await node.connect() as client:
        configure("debug", form="json")
        for payload in (["4111-secret"], "4111-secret"):
            with pytest.raises(RequestError):
                await client.request("Shop.buy", payload)
        assert "4111-secret" not in capsys.readouterr().err


# ----------------------------------------------------------------------------- files


def test_a_file_is_written_beside_and_another_one_the_next_day(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "node.log"
    configure("info", file=path, days=2)
    daily = logging.getLogger().handlers[-1]
    assert isinstance(daily, TimedRotatingFileHandler)
    for day in range(5):
        logging.getLogger("nano").info("day %d", day)
        daily.rolloverAt -= 86_400  # midnight is over
    daily.close()
    assert "day 4" in capsys.readouterr().err
    assert "day 4" in path.read_text()
    assert len(list(tmp_path.iterdir())) <= 3


def test_a_file_is_for_machines_unless_all_is_for_people(tmp_path: Path) -> None:
    for form in ("auto", "human"):
        path = tmp_path / form
        configure("info", form=form, short=True, file=path)
        logging.getLogger("nano").info("here")
        logging.getLogger().handlers[-1].close()
        assert path.read_text().startswith("{") is (form == "auto")


def test_a_file_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"No such file.*choose another --log-file"):
        configure("info", file=tmp_path / "nowhere" / "node.log")


def test_the_level_can_be_changed_later(capsys: pytest.CaptureFixture[str]) -> None:
    configure("warning")
    assert level() == "warning"
    set_level("debug")
    assert level() == "debug"
    logging.getLogger("nano").debug("all")
    logging.getLogger("grpc").debug("detail")
    assert len(capsys.readouterr().err.splitlines()) == 2


# ------------------------------------------------------------------------- the page


async def test_the_line_on_the_page_is_such_as_is_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (example,) = re.findall(r"```json\n(.*?)\n```", PAGE, re.DOTALL)
    shown = json.loads(example)
    process = ("namespace", "nanocluster", "role", "backend", "node")
    async with MemoryNode(Shop) as node, await node.connect() as client:
        configure("info", form="json", about={name: shown[name] for name in process})
        with pytest.raises(RequestError):
            await client.request("Shop.buy", {"card": "1"})
        assert list(said(capsys)) == list(shown)
    table = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(table)) == list(shown)


def test_flags_on_the_page_are_options_of_a_node() -> None:
    flags = {flag for option in command.params for flag in option.opts}
    assert set(re.findall(r"--log-[a-z]+", PAGE)) <= flags
