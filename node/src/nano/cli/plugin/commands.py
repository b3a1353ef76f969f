"""The commands of ``kubectl nano``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

from nano.cli.errors import Failed
from nano.cli.plugin.kubectl import (
    BACKEND,
    CLUSTER,
    GATE,
    MASTER,
    RESOURCE,
    ROLE,
    Asked,
    Kubectl,
    Pod,
)
from nano.cli.tables import age, table

__all__ = ["drain", "logs", "members", "restart", "routes", "sessions", "status"]

RESTART: Final = "nanocluster.io/restart"
NODES: Final = (
    "POD", "ROLE", "READY", "SESSIONS", "LINKS", "RESTARTS", "AGE", "IP", "",
)  # fmt: skip
SPARE_LOGS: Final = 20  # pods that may come while their logs are followed

_name = click.argument("name", required=False)


@click.command(
    epilog="""\b
Examples:
  kubectl nano status
  kubectl nano -n games status chat
"""
)
@_name
@click.pass_obj
def status(kubectl: Kubectl, name: str | None) -> None:
    """Show what is so of a cluster, where clients connect, and every node."""
    cluster = kubectl.cluster(name)
    found = kubectl.ask_all(kubectl.pods(_named(cluster)), "/status")
    click.echo(_headline(cluster))
    rows = [_node(asked, datetime.now(UTC)) for asked in found]
    _show(NODES, rows)


def _show(header: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    for line in table(header, rows):
        click.echo(line)


def _named(cluster: dict[str, Any]) -> str:
    name: str = cluster["metadata"]["name"]
    return name


def _headline(cluster: dict[str, Any]) -> str:
    told = cluster.get("status", {})
    lines = [f"NanoCluster {_named(cluster)}"]
    for condition in told.get("conditions", []):
        text = f"  {condition['type']}: {condition['status']} ({condition['reason']})"
        if condition.get("message"):
            text += f" {condition['message']}"
        lines.append(text)
    lines += [f"  {it['name']}: {it['url']}" for it in told.get("endpoints", [])]
    lines += _figures(told)
    if not told:
        lines.append("  nothing is known yet: is the operator running?")
    return "\n".join([*lines, ""])


def _figures(told: dict[str, Any]) -> list[str]:
    """Say what the operator has counted: clients, services, who leaves."""
    gates = told.get("gates", {})
    lines = []
    if "connections" in gates or "silent" in gates:
        known, silent = gates.get("connections"), gates.get("silent", [])
        text = "unknown" if known is None else f"about {known}" if known else "none"
        if silent:
            text += f", without those of {', '.join(silent)}, who did not answer"
        lines.append(f"  clients: {text}")
    served = [
        f"{it['service']} {it.get('members', 0)}" for it in told.get("routes", [])
    ]
    if served:
        lines.append(f"  members of each service: {', '.join(served)}")
    leaving = [f"{it['pod']} ({it['role']})" for it in told.get("drains", [])]
    if leaving:
        lines.append(f"  leaving: {', '.join(leaving)}")
    return lines


def _node(asked: Asked, now: datetime) -> tuple[str, ...]:
    pod, said = asked.pod, asked.answer
    others = [it for it in said.get("members", []) if it["address"] != said["address"]]
    linked = sum(it["link"] for it in others)
    peers = [it for it in others if it["role"] != MASTER]
    return (
        pod.name,
        pod.role,
        "yes" if pod.ready else "no",
        str(said["sessions"]) if said else "",
        f"{linked}/{len(peers)}" if said and pod.role != MASTER else "",
        str(pod.restarts),
        age(pod.started, now),
        pod.ip,
        asked.problem or said.get("notReady") or "",
    )


@click.command(
    epilog="""\b
Example:
  kubectl nano members chat
"""
)
@_name
@click.pass_obj
def members(kubectl: Kubectl, name: str | None) -> None:
    """Show the master's list of members."""
    pods = kubectl.pods(_named(kubectl.cluster(name)))
    said = _only(kubectl, [pod for pod in pods if pod.role == MASTER], "master")
    at = {pod.ip: pod.name for pod in pods}
    rows = [
        (
            member["address"],
            member["role"] or "other",
            member["state"],
            at.get(member["address"].rpartition(":")[0], ""),
            ", ".join(member["services"]),
        )
        for member in said["members"]
    ]
    _show(("MEMBER", "ROLE", "STATE", "POD", "SERVICES"), rows)


def _only(kubectl: Kubectl, pods: Sequence[Pod], what: str) -> dict[str, Any]:
    """Return the status of the first of *pods* that gives one."""
    problem = "there is no pod of it"
    for asked in kubectl.ask_all(pods, "/status"):
        if asked.answer:
            return asked.answer
        problem = f"{asked.pod.name}: {asked.problem}"
    raise Failed(f"the {what} does not answer: {problem}")


@click.command(
    epilog="""\b
Examples:
  kubectl nano sessions chat
  kubectl nano sessions chat --limit 20
"""
)
@_name
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="The most that are shown of each gate.",
)
@click.pass_obj
def sessions(kubectl: Kubectl, name: str | None, limit: int) -> None:
    """Show the sessions of clients, gate by gate."""
    gates = kubectl.pods(_named(kubectl.cluster(name)), GATE)
    rows = []
    for asked in kubectl.ask_all(gates, f"/sessions?limit={limit}"):
        if asked.problem:
            click.echo(f"{asked.pod.name}: {asked.problem}", err=True)
        for item in asked.answer.get("sessions", []):
            if item["home"]:
                row = (item["id"], item["uid"] or "", item["address"], asked.pod.name)
                rows.append(row)
    _show(("SESSION", "UID", "ADDRESS", "GATE"), rows)


@click.command(
    epilog="""\b
Example:
  kubectl nano routes chat
"""
)
@_name
@click.pass_obj
def routes(kubectl: Kubectl, name: str | None) -> None:
    """Show the routes that clients reach, and how many members serve each service."""
    gates = kubectl.pods(_named(kubectl.cluster(name)), GATE)
    said = _only(kubectl, gates, "gate")
    rows = []
    for route in said["routes"]:
        service = route.rpartition(".")[0]
        serving = [
            member
            for member in said["members"]
            if service in member["services"] and member["role"] != GATE
        ]
        kinds = sorted({member["label"] or member["role"] for member in serving})
        rows.append((route, str(len(serving)) if serving else "", ", ".join(kinds)))
    _show(("ROUTE", "MEMBERS", "KIND"), rows)


@click.command(
    epilog="""\b
Example:
  kubectl nano drain chat-gate-6d5f9c-x2vlp
"""
)
@click.argument("pod")
@click.pass_obj
def drain(kubectl: Kubectl, pod: str) -> None:
    """Let POD's node leave without losing anything, and Kubernetes replace it."""
    click.echo(kubectl.run("delete", "pod", pod, "--wait=false").rstrip())


@click.command(
    epilog="""\b
Examples:
  kubectl nano restart chat
  kubectl nano status chat
"""
)
@_name
@click.pass_obj
def restart(kubectl: Kubectl, name: str | None) -> None:
    """Replace all nodes of a cluster, one role after the other, as in a rollout."""
    found = _named(kubectl.cluster(name))
    now = datetime.now(UTC).isoformat(timespec="seconds")
    note = f"{RESTART}={now}"
    said = kubectl.run("annotate", RESOURCE, found, note, "--overwrite")
    click.echo(said.rstrip())


@click.command(
    epilog="""\b
Examples:
  kubectl nano logs chat --role gate -f
  kubectl nano logs chat --tail 20
"""
)
@_name
@click.option("--role", help="master, gate, or a backend's name; all by default.")
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option(
    "--tail", type=int, default=100, show_default=True, help="Lines of each node."
)
@click.pass_obj
def logs(
    kubectl: Kubectl, name: str | None, role: str | None, follow: bool, tail: int
) -> None:
    """Show the logs of a cluster's nodes, each line with its pod."""
    found = _named(kubectl.cluster(name))
    pods = kubectl.pods(found, role)
    if not pods:
        raise Failed(f"{found} has no pods{f' of {role}' if role else ''}")
    label = {None: "", MASTER: f",{ROLE}={MASTER}", GATE: f",{ROLE}={GATE}"}
    selector = f"{CLUSTER}={found}{label.get(role, f',{BACKEND}={role}')}"
    words = ["logs", f"--selector={selector}", "--container=node", "--prefix"]
    words += [f"--tail={tail}", f"--max-log-requests={len(pods) + SPARE_LOGS}"]
    command = kubectl.command(*words, *(["--follow"] if follow else []))
    try:
        os.execvp(command[0], command)  # it writes to the terminal as it always does
    except FileNotFoundError as error:
        problem = "kubectl is not on your PATH; install it, or name it in KUBECTL"
        raise Failed(problem) from error
