"""Two versions of one cluster: today's, and a build that knows more.

The newer build is a copy of ours whose ``link.proto`` has one more kind and one more
field in each message, whose HELLO announces the kind, and which sends both to
everybody.  Today's nodes must serve with it, in every role, as if nothing was new.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .towns import Make, Town, ask, until, visitor

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
KIND = 9_000
FIELD = 9_001
PROGRAM = """\
from nano.cli import main
from nano.cluster.links import Links
from nano.cluster.outbox import Outbox, Packed
from nano.cluster.pb import link_pb2 as pb

made, opened = Links.__init__, Links._opened

def init(self, *args, **options):
    made(self, *args, **options)
    self.act(pb.NEWS, heard)
    self._hello.hint = "newer"

def heard(link, envelope):
    print("news from", link.address, envelope.hint, flush=True)

def open_(self, link):
    opened(self, link)
    link.send(pb.Envelope(kind=pb.NEWS, hint="hello"))

def take(self, before=Outbox.take):
    taken = before(self)
    if taken is None:
        return None
    batch = pb.Batch.FromString(taken.data)
    batch.hint = "batch"
    for envelope in batch.envelopes:
        envelope.hint = "more than you know"
    return Packed(batch.SerializeToString(), taken.envelopes)

Links.__init__, Links._opened, Outbox.take = init, open_, take
main(prog_name="nanoctl")
"""


@pytest.fixture(scope="session")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the newer build."""
    folder = tmp_path_factory.mktemp("newer")
    shutil.copytree(ROOT / "node" / "src", folder, dirs_exist_ok=True)
    proto = folder / "nano" / "cluster" / "pb" / "link.proto"
    text = (ROOT / "proto" / "nano" / "cluster" / "pb" / "link.proto").read_text()
    zero = "  KIND_UNSPECIFIED = 0;"
    text = text.replace(zero, f"{zero}\n  NEWS = {KIND};", 1)
    more = rf"\g<0>\n  string hint = {FIELD};"
    proto.write_text(re.sub(r"^message \w+ \{", more, text, flags=re.MULTILINE))
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}"),
            *(f"--python_out={folder}", str(proto.relative_to(folder))),
        ],
        cwd=folder,
        check=True,
    )
    (folder / "program.py").write_text(PROGRAM)
    return folder


async def said(town: Town, name: str, text: str, times: int = 1) -> None:
    """Wait until *name* has said *text* so often."""
    await until(lambda: town.said(name, text) == times)


@pytest.mark.parametrize(
    "newest", [["backend0"], ["gate"], ["master", "gate", "backend0"]]
)
async def test_todays_nodes_serve_with_those_of_a_newer_build(
    make: Make, newer: Path, newest: list[str]
) -> None:
    town = await make(backends=2, builds=dict.fromkeys(newest, newer))
    pids = {town.processes[name].pid for name in ("backend0", "backend1")}
    used: set[int] = set()
    while used != pids:
        async with await visitor(town) as client:
            for number in range(3):
                answer = await ask(client, number)
                assert answer.first == 0
            used.add(answer.pid)
    linked = {"gate", "backend0", "backend1"}
    for name in linked & set(newest):
        older, same = linked - set(newest), linked & set(newest) - {name}
        await said(town, name, f"does not act upon kind {KIND}", len(older))
        for other in same:
            words = "more than you know"
            await said(town, name, f"news from {town.addresses[other]} {words}")
    for name in (*linked, "master"):
        assert "Traceback" not in town.logs[name].read_text()
        assert town.said(name, "has ended") == 0
    for name in linked - set(newest):
        dropped = town.count(name, "nano_dropped_total", reason="unsupported")
        assert dropped == len(linked & set(newest))
