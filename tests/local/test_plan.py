from __future__ import annotations

import io
import itertools
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from nano.errors import UsageError
from nano.local.console import Console
from nano.local.places import Place, State
from nano.local.plan import ProcessSpec, Surroundings, ignored, plan
from nano.local.ports import BLOCK, FIRST_PORT, LAST_PORT, Doors, free_ports
from nano_manifest import (
    Backend,
    EnvVar,
    Gates,
    Listener,
    Master,
    Metadata,
    NanoCluster,
    Spec,
)

CLUSTER = NanoCluster(
    metadata=Metadata(name="chat"),
    spec=Spec(
        master=Master(env=[EnvVar(name="A", value="1")]),
        gates=Gates(replicas=2),
        backends=[
            Backend(name="room", replicas=2, components=["chat:Room"]),
            Backend(
                name="wallet",
                components=["chat:Wallet"],
                env=[EnvVar(name="DB", value="here"), EnvVar(name="B", value_from={})],
                env_from=[{"configMapRef": {"name": "x"}}],
            ),
        ],
    ),
)


def planned(
    cluster: NanoCluster = CLUSTER, tls_dir: Path | None = None
) -> dict[str, ProcessSpec]:
    here = Surroundings(
        manifest_file=Path("/run/cluster.yaml"),
        app_dir=Path("/home/me/chat"),
        run_dir=Path("/run"),
        host="0.0.0.0",
        next_port=itertools.count(20_000).__next__,
        tls_dir=tls_dir,
    )
    return {spec.name: spec for spec in plan(cluster, here)}


def flags(spec: ProcessSpec) -> dict[str, str]:
    command, *words = spec.args
    assert command == "node"
    return dict(zip(words[::2], words[1::2], strict=True))


def test_there_is_a_process_for_each_replica() -> None:
    assert list(planned()) == [
        "master",
        "room-1",
        "room-2",
        "wallet-1",
        "gate-1",
        "gate-2",
    ]


def test_there_is_one_for_each_process_of_each_gate() -> None:
    gates = Gates(replicas=2, processes=2)
    cluster = NanoCluster(metadata=Metadata(name="a"), spec=Spec(gates=gates))
    specs = planned(cluster)
    assert list(specs) == ["master", "gate-1.1", "gate-1.2", "gate-2.1", "gate-2.2"]
    addresses = {spec.address for spec in specs.values()}
    assert len(addresses) == len(specs)


def test_the_master_knows_itself_alone() -> None:
    assert flags(planned()["master"]) == {
        "--role": "master",
        "--address": "127.0.0.1:20000",
        "--manifest": "/run/cluster.yaml",
        "--app-dir": "/home/me/chat",
        "--observe": "127.0.0.1:20001",
        "--control": "unix:/run/master.sock",
    }


def test_a_backend_knows_which_it_is_and_where_the_master_is() -> None:
    given = flags(planned()["room-2"])
    assert given["--backend"] == "room"
    assert given["--master"] == "127.0.0.1:20000"


def test_a_gate_listens_where_it_is_told() -> None:
    for name in ("gate-1", "gate-2"):
        assert flags(planned()[name])["--host"] == "0.0.0.0"


def test_no_two_processes_have_a_port_or_a_socket_in_common() -> None:
    specs = planned().values()
    taken = [address for spec in specs for address in (spec.address, spec.observe)]
    assert len(set(taken)) == len(taken)
    assert len({spec.control for spec in specs}) == len(specs)


def test_a_role_has_the_variables_of_the_manifest() -> None:
    assert planned()["master"].env == {"A": "1"}
    assert planned()["wallet-1"].env == {"DB": "here"}
    assert planned()["gate-1"].env == {}


def test_what_only_kubernetes_knows_is_named() -> None:
    assert list(ignored(CLUSTER)) == [
        (
            "backend wallet: envFrom is for Kubernetes; here its variables are those "
            "of this shell, if it has them"
        ),
        "backend wallet: B takes its value from Kubernetes; set it by hand here",
    ]


# ------------------------------------------------------------------- ports


def listening_on(port: int) -> NanoCluster:
    listeners = [Listener(name="ws", transport="websocket", port=port)]
    return NanoCluster(
        metadata=Metadata(name="a"), spec=Spec(gates=Gates(listeners=listeners))
    )


def test_free_ports_are_different_and_not_those_of_outgoing_connections() -> None:
    ports = free_ports(50)
    assert len(set(ports)) == 50
    assert all(FIRST_PORT <= port <= LAST_PORT for port in ports)
    assert not set(ports) & set(free_ports(50))  # they may not be bound yet


def test_two_processes_find_different_ports() -> None:
    program = "from nano.local.ports import free_ports; print(*free_ports(50)); input()"
    with ExitStack() as stack:
        found = []
        for _ in range(3):
            started = subprocess.Popen(
                [sys.executable, "-c", program],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(started)
            stack.callback(started.kill)
            assert started.stdout is not None
            found.append(started.stdout.readline().split())
    assert len({port for ports in found for port in ports}) == 150


def test_there_may_be_more_than_a_block() -> None:
    assert len(set(free_ports(BLOCK + 50))) == BLOCK + 50


def test_a_port_in_use_is_named_with_its_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, ExitStack() as stack:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError) as caught:
            Doors(listening_on(port), "127.0.0.1", Path(), stack)
    assert str(caught.value) == (
        f"listener ws cannot use port {port} of 127.0.0.1: Address already in use; "
        "stop what uses it, or choose another port in spec.gates.listeners"
    )


def test_an_address_of_another_machine_is_refused() -> None:
    (port,) = free_ports(1)
    with (
        ExitStack() as stack,
        pytest.raises(UsageError, match=r"of 192\.0\.2\.1: .*; --host takes an"),
    ):
        Doors(listening_on(port), "192.0.2.1", Path(), stack)


def test_the_cluster_that_has_a_port_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    other = tmp_path / "other.yaml"
    place = Place.of(other, "other")
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        place.hold(),
        ExitStack() as stack,
    ):
        port = taken.getsockname()[1]
        place.tell(
            State(
                pid=os.getpid(),
                name="other",
                manifest=str(other),
                socket="",
                ports=(port,),
            )
        )
        with pytest.raises(UsageError) as caught:
            Doors(listening_on(port), "127.0.0.1", Path(), stack)
    assert str(caught.value) == (
        f"listener ws cannot use port {port} of 127.0.0.1: Address already in use by "
        f"the cluster other; `nanoctl down -f {other}` stops that, or choose another "
        "port in spec.gates.listeners"
    )


def test_a_port_that_another_run_has_claimed_is_in_use() -> None:
    (port,) = free_ports(1)
    with ExitStack() as stack:
        Doors(listening_on(port), "127.0.0.1", Path(), stack)
        with pytest.raises(UsageError, match=f"port {port} of 127.0.0.1"):
            Doors(listening_on(port), "127.0.0.1", Path(), stack)
    with ExitStack() as stack:
        Doors(listening_on(port), "127.0.0.1", Path(), stack)


def test_doors_may_change_while_what_both_have_stays() -> None:
    first, second, third = free_ports(3)
    with socket.create_server(("127.0.0.1", 0)) as taken, ExitStack() as stack:
        doors = Doors(listening_on(first), "127.0.0.1", Path(), stack)
        listening = stack.enter_context(doors.open()["ws"])
        listening.listen()
        doors.change(listening_on(first))
        doors.change(listening_on(second))
        assert stack.enter_context(doors.open()["ws"]).getsockname()[1] == second
        with pytest.raises(UsageError, match="already in use"):
            doors.change(listening_on(taken.getsockname()[1]))
        assert stack.enter_context(doors.open()["ws"]).getsockname()[1] == second
        doors.tidy()
        listening.close()
        Doors(listening_on(first), "127.0.0.1", Path(), stack)  # it was given up
        with pytest.raises(UsageError):
            Doors(listening_on(second), "127.0.0.1", Path(), stack)
        doors.change(listening_on(third))


def test_every_gate_has_sockets_of_its_own_on_the_same_port() -> None:
    (port,) = free_ports(1)
    with ExitStack() as stack:
        doors = Doors(listening_on(port), "127.0.0.1", Path(), stack)
        sockets = [doors.open()["ws"] for _ in range(3)]
        for opened in sockets:
            stack.enter_context(opened)
            assert opened.getsockname() == ("127.0.0.1", port)


def test_a_door_is_closed_until_its_gate_listens() -> None:
    (port,) = free_ports(1)
    with ExitStack() as stack:
        doors = Doors(listening_on(port), "127.0.0.1", Path(), stack)
        opened = stack.enter_context(doors.open()["ws"])
        with socket.socket() as client, pytest.raises(ConnectionRefusedError):
            client.connect(("127.0.0.1", port))
        opened.listen()
        with socket.create_connection(("127.0.0.1", port)):
            pass


# ----------------------------------------------------------- sockets of files


def listening_at(socket_file: str) -> NanoCluster:
    listeners = [Listener(name="local", transport="unix", socket=socket_file)]
    return NanoCluster(
        metadata=Metadata(name="a"), spec=Spec(gates=Gates(listeners=listeners))
    )


def test_all_gates_accept_from_one_socket_which_goes_at_the_end(
    tmp_path: Path,
) -> None:
    path = tmp_path / "nano.sock"
    with ExitStack() as stack:
        doors = Doors(listening_at("nano.sock"), "127.0.0.1", tmp_path, stack)
        sockets = [stack.enter_context(doors.open()["local"]) for _ in range(2)]
        with socket.socket(socket.AF_UNIX) as client:
            with pytest.raises(ConnectionRefusedError):
                client.connect(str(path))
            sockets[0].listen()
            client.connect(str(path))
        sockets[1].accept()[0].close()
    assert list(tmp_path.iterdir()) == []


def test_a_socket_in_use_is_named_with_its_listener(tmp_path: Path) -> None:
    path = tmp_path / "nano.sock"
    with socket.socket(socket.AF_UNIX) as taken, ExitStack() as stack:
        taken.bind(str(path))
        taken.listen()
        with pytest.raises(UsageError, match=r"cannot use .*nano\.sock"):
            Doors(listening_at("nano.sock"), "127.0.0.1", tmp_path, stack)


def test_gates_are_told_what_stands_for_secrets() -> None:
    assert all("--tls-dir" not in spec.args for spec in planned().values())
    told = planned(tls_dir=Path("/home/me/tls"))
    for spec in told.values():  # the cluster port has certificates, too
        assert flags(spec)["--tls-dir"] == "/home/me/tls"


# ----------------------------------------------------------------- console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_every_line_begins_with_its_process() -> None:
    out = io.StringIO()
    console = Console(out, ["master", "gate-1"])
    console.line("master", "here")
    console.say("one\ntwo")
    assert out.getvalue() == "master  | here\nnanoctl | one\nnanoctl | two\n"


def test_processes_have_colours_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    Console(terminal, ["master"]).line("master", "here")
    assert terminal.getvalue() == "\x1b[36mmaster  |\x1b[0m here\n"


def test_who_wants_no_colours_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    Console(terminal, ["master"]).line("master", "here")
    assert terminal.getvalue() == "master  | here\n"
