from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest

from nano.local.logs import configure


@pytest.fixture(autouse=True)
def _logging_stays_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)
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
