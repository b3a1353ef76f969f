"""The HTTP servers of several processes that are one gate.

Probes, Prometheus and administrators see one node: it is ready when all of its
processes are, its metrics are those of all with a label ``process``, and what is asked
of its sessions is asked of whoever has them.  The processes answer at unix sockets that
nobody else can open; the servers here are the only way in from outside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from nano.admin.answers import LARGEST_BODY, careful, error, json
from nano.admin.asking import Answer, ask
from nano.admin.control import DEFAULT_LIMIT, locked

__all__ = ["Process", "Processes", "control_processes"]

SECONDS_FOR_A_PROBE: Final = 1.5  # less than a probe of Kubernetes waits
LABEL: Final = "process"


@dataclass(frozen=True, slots=True)
class Process:
    """One process, as it is now.

    Attributes:
        name: Its number, from 1; the label in metrics.
        observe: The unix socket of its observe server.
        control: The unix socket of its control server.
        pid: Of the operating system; 0 while it does not run.
        restarts: How often it was started again.
        reason: Why it is not ready, before it can say so itself; ``None``: ask it.
    """

    name: str
    observe: str
    control: str
    pid: int
    restarts: int
    reason: str | None


class Processes:
    """The processes of one gate.

    Args:
        look: Returns all of them, as they are now.
        about: Labels of the metrics about them: which cluster it is.

    Attributes:
        reason: Why the whole is not ready, whatever they say.
    """

    def __init__(
        self,
        look: Callable[[], Sequence[Process]],
        about: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.look = look
        self._about = about
        self.reason: str | None = None

    async def not_ready(self) -> str | None:
        """Say what the first that is not ready says; ``None``: all are ready."""
        if self.reason is not None:
            return self.reason
        known = self.look()
        said = await asyncio.gather(*map(_not_ready, known))
        reasons = zip(known, said, strict=True)
        return next((f"process {it.name}: {why}" for it, why in reasons if why), None)

    async def ask(
        self, target: str, method: str = "GET"
    ) -> list[tuple[Process, Answer]]:
        """Ask all of them at once; return the answers of those that answer."""
        known = self.look()
        answers = await asyncio.gather(
            *(ask(it.control, target, method) for it in known)
        )
        pairs = zip(known, answers, strict=True)
        return [(process, answer) for process, answer in pairs if answer is not None]

    async def metrics(self) -> bytes:
        """Return the metrics of all, each with the label of its process."""
        known = self.look()
        answers = await asyncio.gather(*(ask(it.observe, "/metrics") for it in known))
        texts = {
            process.name: answer.body.decode()
            for process, answer in zip(known, answers, strict=True)
            if answer is not None and answer.status == 200
        }
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Merged(texts, known, self._about))
        # many processes have many samples, and the probes must not wait for them
        return await asyncio.to_thread(generate_latest, registry)


async def _not_ready(process: Process) -> str | None:
    if process.reason is not None:
        return process.reason
    answer = await ask(process.observe, "/readyz", seconds=SECONDS_FOR_A_PROBE)
    if answer is None:
        return "it does not answer"
    return None if answer.status == 200 else answer.body.decode().strip()


class _Merged(Collector):
    """The metrics of all processes, family by family, and ours about them."""

    def __init__(
        self,
        texts: dict[str, str],
        known: Sequence[Process],
        about: Mapping[str, str],
    ) -> None:
        self._texts = texts
        self._known = known
        self._about = about

    def collect(self) -> Iterator[Metric]:
        """Yield every family; called by Prometheus' client library."""
        families: dict[str, Metric] = {}
        for name, text in self._texts.items():
            for family in text_string_to_metric_families(text):
                samples = family.samples
                family.samples = [
                    it._replace(labels={**it.labels, LABEL: name}) for it in samples
                ]
                if family.name in families:
                    families[family.name].samples += family.samples
                else:
                    families[family.name] = family
        yield from families.values()
        labels = [*self._about, LABEL]
        up = GaugeMetricFamily(
            "nano_process_up", "1 while the process of the gate runs.", labels=labels
        )
        restarts = CounterMetricFamily(
            "nano_process_restarts",
            "How often a process of the gate was started again.",
            labels=labels,
        )
        for process in self._known:
            values = [*self._about.values(), process.name]
            up.add_metric(values, float(process.pid != 0))
            restarts.add_metric(values, process.restarts)
        yield from (up, restarts)


def control_processes(subject: Processes, token: str | None) -> web.Application:
    """Return the application that acts on the processes.

    Args:
        subject: The processes.
        token: What each request must carry; ``None`` lets everybody in.
    """
    control = _Control(subject)
    application = web.Application(
        middlewares=[careful, locked(token)], client_max_size=LARGEST_BODY
    )
    application.add_routes(
        [
            web.get("/status", control.status),
            web.get("/sessions", control.sessions),
            web.post("/drain", control.drain),
            web.route("*", "/{other:.*}", control.hand_on),
        ]
    )
    return application


class _Control:
    """The handlers of one application."""

    def __init__(self, subject: Processes) -> None:
        self._subject = subject

    async def drain(self, request: web.Request) -> web.Response:
        """Let all of them drain; answer with the status, or the first refusal."""
        answers = await self._subject.ask("/drain", "POST")
        for _, answer in answers:
            if answer.status != 200:
                return _handed_on(answer)
        return await self.status(request)

    async def status(self, _: web.Request) -> web.Response:
        """Answer as one node: sessions and connections are those of all processes."""
        answers = await self._subject.ask("/status")
        if not answers:
            return _nobody()
        told = [(it, msgspec.json.decode(answer.body)) for it, answer in answers]
        first: dict[str, Any] = told[0][1]
        return json(
            first
            | {
                "notReady": await self._subject.not_ready(),
                "sessions": sum(said["sessions"] for _, said in told),
                "connections": sum(said["connections"] for _, said in told),
                "processes": [
                    {
                        LABEL: process.name,
                        "pid": process.pid,
                        "restarts": process.restarts,
                        "address": said["address"],
                        "notReady": said["notReady"],
                        "sessions": said["sessions"],
                    }
                    for process, said in told
                ],
            }
        )

    async def sessions(self, request: web.Request) -> web.Response:
        """Answer with the sessions of all, each with its process."""
        answers = await self._subject.ask(request.path_qs)
        if not answers:
            return _nobody()
        for _, answer in answers:
            if answer.status != 200:
                return _handed_on(answer)
        limit = int(request.query.get("limit", DEFAULT_LIMIT))
        found = [
            session | {LABEL: process.name}
            for process, answer in answers
            for session in _listed(answer)
        ]
        return json({"sessions": found[:limit]})

    async def hand_on(self, request: web.Request) -> web.Response:
        """Ask one process after the other, until one knows what is asked for."""
        body = await request.read() or None
        answer = None
        for process in self._subject.look():
            said = await ask(process.control, request.path_qs, request.method, body)
            answer = said or answer
            if said is not None and said.status != 404:
                break
        return _handed_on(answer) if answer is not None else _nobody()


def _listed(answer: Answer) -> Iterable[dict[str, object]]:
    sessions: list[dict[str, object]] = msgspec.json.decode(answer.body)["sessions"]
    return sessions


def _handed_on(answer: Answer) -> web.Response:
    return web.Response(
        body=answer.body, status=answer.status, content_type=answer.content_type
    )


def _nobody() -> web.Response:
    return error(503, "no process of this gate answers; ask again in a second")
