"""``nanoctl up --try``: the first request, in whatever format the cluster has."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from click.testing import CliRunner

from nano.cli import main

from .test_up import Folder, folder  # noqa: F401  # a fixture

STRING = "google.protobuf.wrappers_pb2:StringValue"
APP = """\
from google.protobuf.wrappers_pb2 import StringValue
from nano import Component, Session, handler

class Words(Component):
    @handler
    def greet(self, session: Session, who: StringValue) -> StringValue:
        return StringValue(value="hello, " + who.value)

class Bytes(Component):
    @handler
    def turn(self, session: Session, what: bytes) -> bytes:
        return what[::-1]
"""


def written(project: Folder, serializer: str, component: str) -> Path:
    """Make the cluster one of another format, and return its manifest."""
    (project.path / "words.py").write_text(APP)
    manifest = project.path / "cluster.yaml"
    text = manifest.read_text().replace("echo:EchoService", f"words:{component}")
    settings = f"spec:\n  settings: {{serializer: {serializer}}}\n"
    manifest.write_text(text.replace("spec:\n", settings))
    return manifest


@pytest.mark.process
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("serializer", "component", "words", "answer"),
    [
        (
            "protobuf",
            "Words",
            ["--send", STRING, "--receive", STRING, "--try", "Words.greet", '"Ann"'],
            'Words.greet answered "hello, Ann"',
        ),
        (
            "raw",
            "Bytes",
            ["--raw", "hex", "--try", "Bytes.turn", "00 ff"],
            "Bytes.turn answered ff 00",
        ),
    ],
)
def test_the_first_request_is_in_the_cluster_s_format(
    folder: Folder,  # noqa: F811  # the fixture
    serializer: str,
    component: str,
    words: list[str],
    answer: str,
) -> None:
    written(folder, serializer, component)
    up = folder.up("--single", *words)
    up.until(answer)
    assert up.end(signal.SIGINT) == 0


@pytest.mark.process
@pytest.mark.parametrize(
    ("serializer", "words", "problem"),
    [
        (
            "protobuf",
            ["--try", "Words.greet", '{"value": "Ann"}'],
            "Words.greet: say what is sent by --send MODULE:MESSAGE",
        ),
        (
            "protobuf",
            ["--send", "nowhere_pb2:Hello", "--try", "Words.greet", "{}"],
            "module nowhere_pb2 cannot be imported",
        ),
        (
            "protobuf",
            ["--raw", "hex", "--try", "Words.greet", ""],
            "--raw is for the serializer raw",
        ),
        ("raw", ["--raw", "hex", "--try", "Bytes.turn", "x"], "'x' is no hex"),
        ("raw", ["--raw", "hex"], "say how the payload of --try is typed"),
    ],
)
def test_one_that_cannot_be_written_is_refused_before_anything_starts(
    folder: Folder,  # noqa: F811  # the fixture
    serializer: str,
    words: list[str],
    problem: str,
) -> None:
    manifest = written(folder, serializer, "Words")
    result = CliRunner().invoke(main, ["up", "-f", str(manifest), *words])
    assert result.exit_code == 2
    assert problem in result.output
    assert folder.left_behind == []
