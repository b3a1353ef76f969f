from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from nano.cli import main
from nano.local.ports import free_ports
from nano.version import __version__
from nano_manifest import SETTINGS, crd

ECHO = Path(__file__).parents[2] / "examples" / "echo" / "cluster.yaml"


@pytest.fixture(autouse=True)
def _logging_stays_as_it_was() -> Iterator[None]:
    """A node configures the logging of its process, which is ours here."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


def run(*args: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, args, env=env)


def refused(*args: str, env: dict[str, str] | None = None) -> str:
    """Run a command that is called wrongly; return what it says."""
    result = run(*args, env=env)
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return result.stderr


@pytest.fixture
def manifest(tmp_path: Path) -> str:
    """A copy of the example, beside which nothing else stands."""
    path = tmp_path / "cluster.yaml"
    path.write_text(ECHO.read_text())
    return str(path)


def test_the_version_is_the_distribution_s() -> None:
    assert run("--version").output == f"nanoctl, version {__version__}\n"


@pytest.mark.parametrize("args", [[], *([name] for name in sorted(main.commands))])
def test_every_command_explains_itself(args: list[str]) -> None:
    result = run(*args, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output


@pytest.mark.parametrize(
    "command",
    [
        *("node", "up", "status", "logs", "reload", "down"),
        *("request", "notify", "repl", "load", "control"),
    ],
)
def test_a_command_with_much_to_say_shows_an_example(command: str) -> None:
    assert f"nanoctl {command} -" in run(command, "--help").output


def test_every_node_setting_is_a_flag_with_its_variable() -> None:
    said = " ".join(run("node", "--help").output.split())
    for row in SETTINGS:
        assert row.flag in said
        assert row.env in said.replace(" ", "") or row.env in said
        assert row.path in said.replace("- ", "-")


# ------------------------------------------------------------------- check


def test_a_good_manifest_is_summed_up() -> None:
    result = run("check", str(ECHO))
    assert result.exit_code == 0
    assert result.output == (
        "default/echo is good:\n"
        "  master: 1\n"
        "  gates: 2, listening as ws on 3250, tcp on 3251\n"
        "  backend echo: 2, running echo:EchoService\n"
    )


def test_the_processes_of_a_gate_are_summed_up_where_there_are_several(
    tmp_path: Path,
) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(ECHO.read_text().replace("gates:", "gates:\n    processes: 4"))
    said = run("check", str(path)).output
    assert "  gates: 2 of 4 processes each, listening as ws on 3250" in said


def test_a_bad_manifest_is_told_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(
        ECHO.read_text().replace("port: 3251", "port: 7650").replace("gates:", "gate:")
    )
    assert refused("check", str(path)) == (
        f"Error: {path}:9: spec.gate: unknown field; did you mean gates?\n"
    )


def test_a_manifest_that_is_not_there_is_named() -> None:
    assert refused("check", "nowhere.yaml") == (
        "Error: nowhere.yaml: cannot be read: No such file or directory\n"
    )


@pytest.mark.parametrize("verb", ["up", "dev"])
def test_who_is_in_another_folder_is_told_what_to_do(verb: str) -> None:
    assert refused(verb, "-f", "nowhere.yaml") == (
        "Error: there is no nowhere.yaml; -f names a manifest that is elsewhere, and "
        "`nanoctl new NAME` begins a project\n"
    )


def test_the_manifest_of_this_folder_is_checked(
    manifest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(manifest).parent)
    assert run("check").output.startswith("default/echo is good:\n")


def test_the_definition_is_printed_as_yaml() -> None:
    result = run("crd")
    assert result.exit_code == 0
    assert yaml.safe_load(result.output) == crd()


# -------------------------------------------------------------------- node


def test_a_node_needs_a_role() -> None:
    assert "Missing option '--role'" in refused("node")


def test_a_flag_may_come_from_the_environment() -> None:
    said = refused("node", env={"NANO_ROLE": "king"})
    assert "'king' is not one of 'master', 'gate', 'backend'" in said


def test_a_setting_out_of_its_bounds_is_refused() -> None:
    said = refused("node", "--max-packet-bytes", "5")
    assert "5 is not in the range 1024<=x<=16777215" in said


def chosen(*args: str, name: str = "log_level") -> object:
    """Return what the node would take for a setting."""
    needed = ["--role", "master", "--manifest", "x", "--address", "127.0.0.1:0"]
    with main.commands["node"].make_context("node", [*needed, *args]) as context:
        return context.params[name]


def test_a_flag_wins_over_its_variable_and_both_may_be_absent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert chosen() is None
    monkeypatch.setenv("NANO_LOG_LEVEL", "debug")
    assert chosen() == "debug"
    assert chosen("--log-level", "error") == "error"


def test_a_setting_may_be_true_or_false(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(name="one_session_per_uid") is None
    monkeypatch.setenv("NANO_ONE_SESSION_PER_UID", "true")
    assert chosen(name="one_session_per_uid") is True
    assert chosen("--one-session-per-uid", "false", name="one_session_per_uid") is False
    said = refused("node", "--one-session-per-uid", "often")
    assert "'often' is not a valid boolean" in said


def node(manifest: str, *more: str) -> list[str]:
    where = ["--manifest", manifest, "--address", "127.0.0.1:0"]
    return ["node", *where, *more]


def test_a_gate_needs_a_master(manifest: str) -> None:
    assert "--master" in refused(*node(manifest, "--role", "gate"))


def test_a_backend_that_the_manifest_does_not_have_is_told_which_it_has(
    manifest: str,
) -> None:
    args = node(manifest, "--role", "backend", "--master", "127.0.0.1:1")
    said = refused(*args, "--backend", "ecko")
    assert "no backend 'ecko'; it has: echo" in said


def test_a_component_that_cannot_be_imported_is_named_with_its_line(
    manifest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "echo", raising=False)  # of another test
    module = Path(manifest).parent / "echo.py"
    module.write_text("import nano\nraise RuntimeError('no database')\n")
    args = node(manifest, "--role", "backend", "--master", "127.0.0.1:1")
    said = refused(*args, "--backend", "echo", "--app-dir", str(module.parent))
    assert "component echo:EchoService" in said
    assert "no database" in said
    assert f"at {module}:2: raise RuntimeError('no database')" in said


@pytest.mark.parametrize("text", ["ws", "ws=x", "=5", "ws=5,tcp"])
def test_descriptors_that_make_no_sense_are_refused(manifest: str, text: str) -> None:
    args = node(manifest, "--role", "master", "--listen-fds", text)
    assert "--listen-fds needs NAME=FD" in refused(*args)


def test_a_token_file_that_is_empty_is_refused(manifest: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("\n")
    args = node(manifest, "--role", "master", "--token-file", str(token))
    assert f"--token-file {token} is empty" in refused(*args)


def test_a_token_file_that_is_not_there_is_named(manifest: str) -> None:
    args = node(manifest, "--role", "master", "--token-file", "nowhere")
    assert "--token-file nowhere cannot be read" in refused(*args)


def test_control_over_tcp_needs_a_token(manifest: str) -> None:
    args = node(manifest, "--role", "master", "--control", "127.0.0.1:0")
    assert "needs a token" in refused(*args)


# ----------------------------------------------------------------- request


def test_a_payload_that_is_no_json_is_refused() -> None:
    said = refused("request", "-s", "127.0.0.1:1", "A.b", "{text: hi}")
    assert "'{text: hi}' is no JSON" in said


@pytest.mark.parametrize("server", ["127.0.0.1:1", "ws://127.0.0.1:1/"])
def test_a_server_that_is_not_there_is_a_failure_in_one_line(server: str) -> None:
    result = run("request", "-s", server, "A.b", "{}")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) == 1


def test_a_server_that_says_nothing_is_a_failure_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = f"127.0.0.1:{silent.getsockname()[1]}"
        result = run("request", "-s", server, "--timeout", "0.1", "A.b", "{}")
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: no answer from tcp://{server} in 0.1 s; a WebSocket listener is named "
        f"-s ws://{server}/\n"
    )


@pytest.mark.parametrize("scheme", ["ws", "tcp"])
def test_where_nobody_listens_it_is_said_how_to_look(scheme: str) -> None:
    (port,) = free_ports(1)
    url = f"{scheme}://127.0.0.1:{port}"
    for words in (["request"], ["notify"], ["repl", "-c"]):
        result = run(words[0], "-s", url, *words[1:], "A.b")
        assert result.exit_code == 1
        assert result.stderr == (
            f"Error: cannot connect to {url}: Connection refused; is it up? "
            "`nanoctl status` shows a cluster of this machine\n"
        )


def test_an_address_that_is_none_is_refused() -> None:
    refused("request", "-s", "http://127.0.0.1:1", "A.b", "{}")


def test_up_refuses_a_first_message_that_is_no_json() -> None:
    assert "is no JSON" in refused("up", "-f", str(ECHO), "--try", "A.b", "hello")
