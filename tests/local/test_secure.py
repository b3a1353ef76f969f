"""``nanoctl up`` under mutual TLS: processes that take up new certificates."""

from __future__ import annotations

import asyncio
import re
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nano.client import connect
from tests.cluster.certificates import Authority, Secret

from .test_up import Folder, until

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

OLD, NEW = Authority(), Authority()
CLUSTER_TLS = "  clusterTls: {secretName: nodes, masterSecretName: master}\n"
TAKEN = "the cluster port has a new certificate"
MOVED = re.compile("the link with .* has a new certificate$", re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path, gates=1, backends=2)
    with (tmp_path / "cluster.yaml").open("a") as manifest:
        manifest.write(CLUSTER_TLS)
    yield made
    made.clean()


@pytest.fixture
def secrets(tmp_path: Path) -> list[Secret]:
    return [
        Secret(tmp_path / "tls" / name, OLD, role, "default/echo")
        for name, role in (("nodes", ""), ("master", "master"))
    ]


class Load(threading.Thread):
    """Numbered requests by one client after the other, until it is stopped."""

    def __init__(self, folder: Folder) -> None:
        super().__init__()
        self._url = f"ws://127.0.0.1:{folder.ws}/"
        self._stopped = threading.Event()
        self.asked = 0
        self.answered = 0

    def run(self) -> None:
        asyncio.run(self._ask())

    async def _ask(self) -> None:
        async with await connect(self._url) as client:
            while not self._stopped.is_set():
                texts = [f"text {self.asked + n}" for n in range(8)]
                self.asked += len(texts)
                answers = await asyncio.gather(
                    *(
                        client.request("EchoService.echo", {"text": text})
                        for text in texts
                    )
                )
                self.answered += sum(
                    answer["text"] == text
                    for answer, text in zip(answers, texts, strict=True)
                )

    def stop(self) -> None:
        self._stopped.set()
        self.join()


@pytest.mark.slow
def test_processes_move_to_another_authority_and_answer_everything(
    folder: Folder, secrets: list[Secret]
) -> None:
    up = folder.up("--tls-dir", "tls")
    up.until("ready after")
    load = Load(folder)
    load.start()
    try:
        steps: list[Callable[[Secret], None]] = [
            lambda secret: secret.believe(OLD, NEW),
            lambda secret: secret.issue(NEW, OLD),
            lambda secret: secret.believe(NEW),
        ]
        for number, step in enumerate(steps, 1):
            for secret in secrets:
                step(secret)
            until(
                lambda number=number: up.said.count(TAKEN) == 4 * number,  # type: ignore[misc]
                f"four nodes have taken up the files of step {number}",
            )
            until(
                lambda number=number: len(MOVED.findall(up.said)) == 3 * number,  # type: ignore[misc]
                f"three links have moved in step {number}",
            )
    finally:
        load.stop()
    assert load.answered == load.asked > 100
    assert "keeps its old certificate" not in up.said
    assert "has ended" not in up.said
    assert folder.ask()["text"] == "hello"
    assert up.end(signal.SIGINT) == 0


def test_a_certificate_of_another_cluster_is_said_at_the_start(
    folder: Folder, secrets: list[Secret]
) -> None:
    secrets[0].put(*OLD.issue("default/other"), OLD.pem)
    up = folder.up("--tls-dir", "tls")
    assert up.end() != 0
    assert "it is for node.other.default, and the nodes of this cluster" in up.said
