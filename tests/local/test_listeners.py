"""``nanoctl up`` with listeners of all kinds, and ``nanoctl request`` to them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.listening import put_certificate

from .test_up import SECONDS, Folder

pytestmark = [pytest.mark.process, pytest.mark.timeout(180)]

MANIFEST = """\
apiVersion: nanocluster.io/v1alpha1
kind: NanoCluster
metadata: {{name: echo}}
spec:
  gates:
    replicas: 2
    components: ["echo:EchoService"]
    listeners:
    - name: proxied
      transport: tcp
      port: {tcp}
      proxyProtocol: true
      trustedProxies: ["192.0.2.1"]
    - {{name: wss, transport: websocket, port: {ws}, tls: {{secretName: game-tls}}}}
    - {{name: local, transport: unix, socket: clients.sock}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path, gates=2, backends=0)
    manifest = MANIFEST.format(ws=made.ws, tcp=made.tcp)
    (tmp_path / "cluster.yaml").write_text(manifest)
    yield made
    made.clean()


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """Return a folder that stands for the Secrets; its authority lies beside it."""
    authority = trustme.CA()
    folder = tmp_path / "tls"
    (folder / "game-tls").mkdir(parents=True)
    put_certificate(folder / "game-tls", authority)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return folder


def ask(folder: Folder, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nano.cli", "request", *args]
    command += ["EchoService.echo", '{"text": "hello"}']
    return subprocess.run(
        command, cwd=folder.path, capture_output=True, text=True, timeout=SECONDS
    )


def test_every_listener_is_served_on_a_laptop(folder: Folder, secrets: Path) -> None:
    words = ("EchoService.echo", '{"text": "first"}')
    up = folder.up("--tls-dir", str(secrets), "--try", *words)
    up.until('answered {"text":"first"')  # by TLS: the first listener wants a proxy
    tls, local = f"wss://127.0.0.1:{folder.ws}/", f"unix://{folder.path}/clients.sock"
    assert f"clients: wss at {tls}" in up.said
    assert f"clients: local at {local}" in up.said
    for args in (("-s", tls, "--ca", "ca.pem"), ("-s", local)):
        answered = ask(folder, *args)
        assert '"text":"hello"' in answered.stdout, answered.stderr
    refused = ask(folder, "-s", tls)
    assert refused.returncode == 1
    assert "certificate verify failed" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert up.end(signal.SIGINT) == 0
    assert not (folder.path / "clients.sock").exists()


def test_a_secret_that_is_not_here_is_asked_for(folder: Folder) -> None:
    up = folder.up()
    assert up.end() != 0
    assert "listener wss has its certificate in the Secret game-tls" in up.said
    assert "by --tls-dir" in up.said
    assert not (folder.path / "clients.sock").exists()
