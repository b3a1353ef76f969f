"""Payloads of every serializer on the command line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nano.cli.forms import JSON, RawWay, form_of
from nano.errors import UsageError
from nano.serializers import SerializerName
from nano.testing import LocalCluster
from nano_manifest import loads

from .test_repl import nanoctl

STRING = "google.protobuf.wrappers_pb2:StringValue"
INNER = "google.protobuf.descriptor_pb2:DescriptorProto.ReservedRange"
APP = """\
from google.protobuf.wrappers_pb2 import StringValue
from nano import Component, Session, handler

class Words(Component):
    @handler
    def greet(self, session: Session, who: StringValue) -> StringValue:
        session.push("onGreet", StringValue(value="push"))
        return StringValue(value="hello, " + who.value)

class Bytes(Component):
    @handler
    def turn(self, session: Session, what: bytes) -> bytes:
        return what[::-1]
"""
MANIFEST = """\
apiVersion: nanocluster.io/v1alpha1
kind: NanoCluster
metadata: {name: forms}
spec:
  settings: {serializer: %s}
  gates:
    replicas: 1
    listeners: [{name: ws, transport: websocket, port: 3250}]
  backends: [{name: all, replicas: 1, components: ["formsapp:%s"]}]
"""


@pytest.fixture
async def url(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    (tmp_path / "formsapp.py").write_text(APP)
    monkeypatch.syspath_prepend(str(tmp_path))
    manifest = loads(MANIFEST % request.param)
    async with LocalCluster(manifest, app_dir=str(tmp_path)) as cluster:
        yield cluster.url("ws")


def test_json_is_the_usual_form() -> None:
    assert form_of("json") is JSON
    assert JSON.read("A.b", "") == b"{}"
    assert JSON.read("A.b", '{"a": 1}') == b'{"a":1}'
    assert JSON.show("A.b", b'{"a": 1}') == '{"a":1}'
    assert JSON.show("A.b", b"") == "null"
    assert JSON.show("A.b", b"\xff{") == "\ufffd{"
    with pytest.raises(UsageError, match="is no JSON"):
        JSON.read("A.b", "{x}")


@pytest.mark.parametrize(
    ("way", "typed", "payload", "shown"),
    [
        ("text", "grün", "grün".encode(), "grün"),
        ("text", "", b"", ""),
        ("hex", "ff 00a1", b"\xff\x00\xa1", "ff 00 a1"),
        ("base64", "/wCh", b"\xff\x00\xa1", "/wCh"),
    ],
)
def test_bytes_are_typed_in_three_ways(
    way: RawWay, typed: str, payload: bytes, shown: str
) -> None:
    form = form_of("raw", way=way)
    assert form.read("A.b", typed) == payload
    assert form.show("A.b", payload) == shown


def test_bytes_that_are_no_text_are_shown_all_the_same() -> None:
    assert form_of("raw").show("A.b", b"a\xff") == "a\\xff"


@pytest.mark.parametrize(
    ("way", "typed", "problem"),
    [
        ("hex", "f", "'f' is no hex"),
        ("hex", "xy", "'xy' is no hex"),
        ("base64", "/wC", "is no base64"),
        ("base64", "ä", "is no base64"),
    ],
)
def test_bytes_that_make_no_sense_are_refused(
    way: RawWay, typed: str, problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        form_of("raw", way=way).read("A.b", typed)


def test_messages_are_told_by_their_route() -> None:
    inner = '{"start": 1, "end": 2}'
    form = form_of("protobuf", [STRING, f"A.b={INNER}"], [STRING, f"onB={INNER}"])
    assert form.read("A.a", '"x"') == b"\x0a\x01x"
    assert form.read("A.b", inner) == b"\x08\x01\x10\x02"
    assert form.read("A.b", "") == b""
    assert form.show("A.a", b"\x0a\x01x") == '"x"'
    assert form.show("onB", b"\x08\x01\x10\x02") == inner
    assert form.show("onB", b"\xff").startswith("ff (hexadecimal; no google.protobuf.")


def test_messages_that_nobody_has_named_are_shown_as_bytes() -> None:
    form = form_of("protobuf")
    assert form.read("A.b", "") == b""
    assert form.show("A.b", b"\x0a\x01") == (
        "0a 01 (hexadecimal; --receive MODULE:MESSAGE reads it)"
    )
    with pytest.raises(UsageError, match=r"A\.b: say what is sent by --send MODULE"):
        form.read("A.b", '{"a": 1}')


@pytest.mark.parametrize(
    ("serializer", "send", "way", "problem"),
    [
        (
            "json",
            [STRING],
            None,
            "--send and --receive are for the serializer protobuf",
        ),
        ("json", [], "hex", "--raw is for the serializer raw"),
        ("protobuf", ["StringValue"], None, r"--send needs \[ROUTE=\]MODULE:MESSAGE"),
        ("protobuf", ["no_such_pb2:A"], None, "module no_such_pb2 cannot be imported"),
        ("protobuf", ["pathlib:A.B"], None, "--send: pathlib has no A.B"),
        ("protobuf", ["pathlib:Path"], None, "pathlib:Path is no class of a message"),
        ("protobuf", [STRING, STRING], None, "--send is given twice without a route"),
        ("protobuf", [f"A.b={STRING}"] * 2, None, "given twice for A.b"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    serializer: SerializerName, send: list[str], way: RawWay | None, problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        form_of(serializer, send, (), way)


def test_a_payload_that_is_no_such_message_is_told_why() -> None:
    form = form_of("protobuf", [INNER])
    with pytest.raises(UsageError, match=r"ReservedRange in protobuf's JSON: .*name"):
        form.read("A.b", '{"name": 1}')


@pytest.mark.process
@pytest.mark.parametrize("url", [("protobuf", "Words")], indirect=True)
async def test_messages_go_there_and_back_by_every_command(url: str) -> None:
    words = ["-s", url, "--serializer", "protobuf", "--send", STRING]
    both = [*words, "--receive", STRING]
    code, out, err = await nanoctl("request", *both, "Words.greet", '"ann"')
    assert (code, out) == (0, '"hello, ann"\n'), err
    code, out, err = await nanoctl("repl", *both, stdin='Words.greet "bob"\n')
    assert (code, out) == (0, '< onGreet "push"\n"hello, bob"\n'), err
    code, out, err = await nanoctl("notify", *words, "Words.greet", '"eve"')
    assert (code, out) == (0, ""), err
    code, out, err = await nanoctl(
        *("load", *words, "--clients", "1", "--duration", "0.2", "--json"),
        *("Words.greet", '"$n"'),
    )
    assert code == 0, out + err
    code, _, err = await nanoctl("request", *both, "Words.greet", "ann")
    assert code == 2
    assert "'ann' is no google.protobuf.StringValue in protobuf's JSON" in err


@pytest.mark.process
@pytest.mark.parametrize("url", [("raw", "Bytes")], indirect=True)
async def test_bytes_go_there_and_back(url: str) -> None:
    words = ["-s", url, "--serializer", "raw"]
    code, out, err = await nanoctl("request", *words, "Bytes.turn", "abc")
    assert (code, out) == (0, "cba\n"), err
    words += ["--raw", "hex"]
    code, out, err = await nanoctl("repl", *words, "-c", "Bytes.turn 00 ff")
    assert (code, out) == (0, "ff 00\n"), err


async def test_a_manifest_says_which_serializer_is_meant(tmp_path: Path) -> None:
    (tmp_path / "formsapp.py").write_text(APP)
    (tmp_path / "cluster.yaml").write_text(MANIFEST % ("protobuf", "Words"))
    code, _, err = await nanoctl("repl", "-f", str(tmp_path / "cluster.yaml"))
    assert code == 2
    assert "the cluster's payloads are protobuf: --serializer protobuf" in err
