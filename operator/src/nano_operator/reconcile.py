"""One look at one cluster: read the world, plan, act.

The thin shell around :mod:`nano_operator.plan`.  It reads everything by LIST each
time, because what a watch told may be old or missing, and carries out the actions
one after the other.  What it remembers between two looks (:class:`Applied`) only
saves writes; forgetting it, as a restart does, costs identical applies and nothing
else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, Protocol, cast

import msgspec

from nano_manifest.sources import Sources
from nano_operator.census import Census
from nano_operator.controller import Key
from nano_operator.drift import Applied
from nano_operator.errors import (
    ApiError,
    ConflictError,
    NotFoundError,
    RefusedError,
    TerminatingError,
)
from nano_operator.events import EVENTS, event_object
from nano_operator.leaving import Exit, mark
from nano_operator.metrics import Metrics
from nano_operator.names import (
    ENTRANCE,
    GATE,
    HANDOVER,
    MANAGER,
    SERVICE_NAME,
    Entrance,
    gate_name,
    owned_selector,
    role_selector,
    written,
)
from nano_operator.objects import (
    CLUSTERS,
    PODS,
    SLICES,
    Child,
    Kind,
    Object,
    Pod,
    Ref,
    Resource,
    Slice,
)
from nano_operator.plan import (
    Action,
    Apply,
    Certify,
    Count,
    Delete,
    LetGo,
    MakeSecret,
    Mark,
    Requeue,
    Tell,
    World,
    WriteStatus,
    certificate_terms,
    expected,
    left_over,
    make_plan,
)
from nano_operator.resources.certificates import kept
from nano_operator.resources.secret import TOKEN_BYTES, secret
from nano_operator.securing import certified
from nano_operator.status import by_type

__all__ = ["Api", "Reconciler"]

LISTED: Final = tuple(kind for kind in Kind if kind is not Kind.SECRET)
"""Kinds that are listed.  Secrets are not: one is read by name, others never."""

ROUNDS: Final = 10
"""Removing, letting go, three for certificates, counting, closing, writing, reporting:
nine are enough; the next look does the rest."""

LAST: Final = (WriteStatus, Tell, Requeue)
"""After these actions there is nothing left to plan."""

UNIQUE_BYTES: Final = 8

logger = logging.getLogger("nano_operator")


class Api(Protocol):
    """What a reconcile needs of an API server; :class:`nano_operator.kube.Kube`.

    Every method may raise :class:`nano_operator.errors.ApiError`.
    """

    async def list(
        self, resource: Resource, namespace: str, *, labels: str = "", name: str = ""
    ) -> list[Object]:
        """Return the objects with these labels and this name."""
        ...

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """Return one object, or None when it is not there."""
        ...

    async def create(self, resource: Resource, body: Object) -> Object:
        """Make an object that is not there yet."""
        ...

    async def apply(
        self, resource: Resource, body: Object, manager: str = MANAGER
    ) -> Object:
        """Write the fields in *body* by server-side apply; return the object."""
        ...

    async def apply_status(self, resource: Resource, body: Object) -> Object:
        """The same for the status of an object."""
        ...

    async def delete(
        self, resource: Resource, namespace: str, name: str, uid: str
    ) -> None:
        """Remove the object if it still has this UID."""
        ...


class Reconciler:
    """Brings clusters closer to their resources.  One for all keys.

    Safe to call for different keys at the same time, not twice for one.
    """

    def __init__(
        self,
        api: Api,
        node_image: str = "",
        operator_namespace: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        metrics: Metrics | None = None,
        census: Census | None = None,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        """*census* knows what nodes say of themselves; without it nobody asks them."""
        self._census = census
        self._metrics = metrics or Metrics()
        self._api = api
        self._node_image = node_image
        self._operator_namespace = operator_namespace
        self._clock = clock
        self._applied: dict[Key, dict[Ref, Applied]] = {}
        self._elapsed = elapsed
        self._seen: dict[Key, tuple[str, float]] = {}  # certificates, and since when

    async def __call__(self, key: Key) -> float | None:
        """Look at *key* once; return after how many seconds to look again, if so.

        Raises:
            RefusedError: The API server refused a child; the status says so too.
            ApiError: It could not be asked.
        """
        world = await self._look(key)
        if world is None:
            self._applied.pop(key, None)
            self._seen.pop(key, None)
            self._metrics.forget_cluster((key.namespace, key.name))
            if self._census is not None:
                self._census.forget(key)
            return None
        try:
            return await self._act(key, world)
        except TerminatingError:
            logger.info("%s: left alone: its namespace is being deleted", key)
            return None  # the end of the cluster is an event of its own

    async def _look(self, key: Key) -> World | None:
        found = await self._api.list(CLUSTERS, key.namespace, name=key.name)
        if not found:
            return None
        known = self._applied.get(key, {})
        world = World.of(found[0], self._node_image, self._operator_namespace, known)
        sources = await self._sources(world.source_names, key.namespace)
        world = dataclasses.replace(world, sources=sources)
        labels = owned_selector(key.name)
        children: dict[Ref, Child] = {}
        for kind in LISTED:
            for raw in await self._api.list(
                kind.resource, key.namespace, labels=labels
            ):
                child = Child.parse(kind, raw)
                children[child.ref] = child
        # whoever else may already have an object with a name that we want
        for ref in dict.fromkeys((*expected(world), *left_over(world))):
            if ref not in children:
                raw_child = await self._find(ref, key.namespace)
                if raw_child is not None:
                    children[ref] = Child.parse(ref.kind, raw_child)
        figures = self._census.latest(key) if self._census is not None else None
        seen = self._settled(key, children)
        world = dataclasses.replace(
            world, children=children, figures=figures, seen=seen
        )
        return dataclasses.replace(world, gates=await self._gates(key, world))

    async def _gates(self, key: Key, world: World) -> Exit:
        """Return the gates that leave; where some have to be chosen, all of them."""
        ref = Ref(Kind.DEPLOYMENT, gate_name(key.name))
        if world.cluster is None or ref not in world.children:
            return Exit()
        wanted, told = world.cluster.spec.gates, world.children[ref].deployment().spec
        lowered = wanted.autoscaling is None and wanted.replicas < told.replicas
        labels = role_selector(key.name, GATE)
        if not lowered:
            labels[ENTRANCE] = Entrance.CLOSED.value
        listed = await self._api.list(PODS, key.namespace, labels=written(labels))
        endpoints: set[str] = set()
        if lowered:
            of_clients = written({SERVICE_NAME: gate_name(key.name)})
            for raw in await self._api.list(SLICES, key.namespace, labels=of_clients):
                endpoints |= msgspec.convert(raw, Slice).pods
        return Exit(
            pods=tuple(msgspec.convert(raw, Pod) for raw in listed),
            endpoints=frozenset(endpoints),
            clients=world.figures.gates if world.figures is not None else {},
            counted=self._census is None,
        )

    def _settled(self, key: Key, children: Mapping[Ref, Child]) -> tuple[str, float]:
        """Return what the nodes' certificates are, and for how many seconds so.

        By a clock that nobody sets, from when this process saw them first.
        """
        refs = frozenset(children)
        digest = kept(key.namespace, key.name, children, refs).seen
        now = self._elapsed()
        before, since = self._seen.get(key, ("", now))
        if digest != before:
            since = now
        self._seen[key] = (digest, since)
        return digest, now - since

    async def _sources(self, names: Iterable[str], namespace: str) -> Sources:
        """Return those of the ConfigMaps that are there."""
        found: dict[str, dict[str, str]] = {}
        for name in names:
            raw = await self._find(Ref(Kind.CONFIG_MAP, name), namespace)
            if raw is not None:  # files that are no text are in binaryData
                parts = [raw.get("binaryData") or {}, raw.get("data") or {}]
                found[name] = {
                    key: value
                    for part in cast("list[dict[str, str]]", parts)
                    for key, value in part.items()
                }
        return found

    async def _find(self, ref: Ref, namespace: str) -> Object | None:
        resource = ref.kind.resource
        if ref.kind is Kind.SECRET:
            return await self._api.get(resource, namespace, ref.name)
        found = await self._api.list(resource, namespace, name=ref.name)
        return found[0] if found else None

    async def _act(self, key: Key, world: World) -> float | None:
        self._metrics.note_conditions((key.namespace, key.name), _holding(world.status))
        refusal: RefusedError | None = None
        for _ in range(ROUNDS):
            actions = make_plan(world, self._clock())
            for action in actions:
                try:
                    world = await self._carry_out(key, world, action)
                except RefusedError as error:
                    if not isinstance(action, Apply | LetGo | MakeSecret | Certify):
                        raise
                    refusal = error
                    refused = {**world.refused, action.ref: error.message}
                    world = dataclasses.replace(world, refused=refused)
            self._note(key, actions)
            if all(isinstance(action, LAST) for action in actions):
                break
        self._settled(key, world.children)  # what was written counts from now on
        self._metrics.note_certificates(
            (key.namespace, key.name), certificate_terms(world, self._clock())
        )
        if refusal is not None:
            raise refusal
        pauses = (item.seconds for item in actions if isinstance(item, Requeue))
        return next(pauses, None)

    def _note(self, key: Key, actions: Iterable[Action]) -> None:
        """Show the conditions that are written now."""
        for action in actions:
            if isinstance(action, WriteStatus):
                self._metrics.note_conditions(
                    (key.namespace, key.name), _holding(action.status)
                )

    async def _carry_out(self, key: Key, world: World, action: Action) -> World:
        """Do one thing, and return the world with its result in it."""
        match action:
            case Apply():
                return await self._apply(key, world, action)
            case LetGo():
                return await self._let_go(key, world, action)
            case MakeSecret():
                return await self._make_secret(key, world, action)
            case Certify():
                return await self._certify(key, world, action)
            case Delete():
                return await self._delete(key, world, action)
            case Count():
                return await self._count(key, world)
            case Mark():
                return await self._mark(key, world, action)
            case WriteStatus():
                await self._write_status(key, world, action)
            case Tell():
                await self._tell(key, world, action)
            case Requeue():
                pass
        return world

    async def _apply(self, key: Key, world: World, action: Apply) -> World:
        raw = await self._api.apply(action.ref.kind.resource, action.rendered)
        logger.info("%s: applied %s", key, action.ref)
        child = Child.parse(action.ref.kind, raw)
        known = self._applied.setdefault(key, {})
        known[action.ref] = Applied.of(action.rendered, child)
        world = dataclasses.replace(world, applied=known)
        return _with(world, child)

    async def _let_go(self, key: Key, world: World, action: LetGo) -> World:
        kind = action.ref.kind
        body: Object = {
            "apiVersion": kind.api_version,
            "kind": kind.title,
            "metadata": {"name": action.ref.name, "namespace": key.namespace},
            "spec": {"replicas": action.replicas},
        }
        raw = await self._api.apply(kind.resource, body, HANDOVER)
        logger.info("%s: let go of the replicas of %s", key, action.ref)
        let_go = world.let_go | {action.ref}
        world = dataclasses.replace(world, let_go=let_go)
        return _with(world, Child.parse(kind, raw))

    async def _make_secret(self, key: Key, world: World, action: MakeSecret) -> World:
        body = secret(action.context, secrets.token_urlsafe(TOKEN_BYTES))
        raw = await self._api.create(Kind.SECRET.resource, body)
        logger.info("%s: made %s", key, action.ref)
        return _with(world, Child.parse(Kind.SECRET, raw))

    async def _certify(self, key: Key, world: World, action: Certify) -> World:
        """Write a Secret with certificates, unless somebody else just has."""
        body = certified(action, self._clock())
        resource = Kind.SECRET.resource
        if action.version:
            head = cast("Object", body["metadata"])
            head["resourceVersion"] = action.version
            raw = await self._api.apply(resource, body)
        else:
            raw = await self._api.create(resource, body)
        why = action.step.move.value if action.step else "take it back"
        logger.info("%s: wrote %s: %s", key, action.ref, why)
        return _with(world, Child.parse(Kind.SECRET, raw))

    async def _delete(self, key: Key, world: World, action: Delete) -> World:
        resource, ref = action.ref.kind.resource, action.ref
        with contextlib.suppress(NotFoundError):
            await self._api.delete(resource, key.namespace, ref.name, action.uid)
        self._applied.get(key, {}).pop(ref, None)
        logger.info("%s: removed %s", key, ref)
        left = {known: child for known, child in world.children.items() if known != ref}
        return dataclasses.replace(world, children=left)

    async def _count(self, key: Key, world: World) -> World:
        """Ask all gates, which takes a few seconds at most."""
        assert self._census is not None, "without a census all counts as counted"
        figures = await self._census.take(key)
        gates = dataclasses.replace(world.gates, clients=figures.gates, counted=True)
        return dataclasses.replace(world, figures=figures, gates=gates)

    async def _mark(self, key: Key, world: World, action: Mark) -> World:
        pod, gates = action.pod, world.gates
        try:
            raw = await self._api.apply(PODS, mark(pod, action.closed, self._clock()))
        except (NotFoundError, ConflictError):
            marked = []  # it has gone by itself
        else:
            clients = gates.clients.get(pod.metadata.name, "unknown")
            word = "closed" if action.closed else "opened again"
            text = "%s: %s is %s to new clients; it has %s"
            logger.info(text, key, pod.metadata.name, word, clients)
            marked = [msgspec.convert(raw, Pod)]
        others = [it for it in gates.pods if it.metadata.uid != pod.metadata.uid]
        gates = dataclasses.replace(gates, pods=(*others, *marked))
        return dataclasses.replace(world, gates=gates)

    async def _write_status(self, key: Key, world: World, action: WriteStatus) -> None:
        body: Object = {
            "apiVersion": world.resource["apiVersion"],
            "kind": world.resource["kind"],
            # with the UID, the status of a cluster is never given to its successor
            "metadata": {
                "name": key.name,
                "namespace": key.namespace,
                "uid": world.meta.uid,
            },
            "status": action.status,
        }
        try:
            await self._api.apply_status(CLUSTERS, body)
        except (NotFoundError, ConflictError):
            return  # deleted, or made anew: its own event follows
        logger.debug("%s: wrote status", key)

    async def _tell(self, key: Key, world: World, action: Tell) -> None:
        unique = secrets.token_hex(UNIQUE_BYTES)
        now, resource = self._clock(), world.resource
        body = event_object(action.event, world.meta, resource, unique, now)
        try:
            await self._api.create(EVENTS, body)
        except TerminatingError:
            raise
        except ApiError as error:  # history is worth no second try
            logger.warning("%s: an event is lost: %s", key, error)


def _holding(status: Object) -> dict[str, bool]:
    found = by_type(status).items()
    return {name: entry["status"] == "True" for name, entry in found}


def _with(world: World, child: Child) -> World:
    return dataclasses.replace(world, children={**world.children, child.ref: child})
