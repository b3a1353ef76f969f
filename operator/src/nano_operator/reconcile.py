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
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final, Protocol, cast

from nano_manifest.sources import Sources
from nano_operator.controller import Key
from nano_operator.drift import Applied
from nano_operator.errors import (
    ApiError,
    ConflictError,
    NotFoundError,
    RefusedError,
)
from nano_operator.events import EVENTS, event_object
from nano_operator.metrics import Metrics
from nano_operator.names import HANDOVER, MANAGER, owned_selector
from nano_operator.objects import CLUSTERS, Child, Kind, Object, Ref, Resource
from nano_operator.plan import (
    Action,
    Apply,
    Delete,
    LetGo,
    MakeSecret,
    Requeue,
    Tell,
    World,
    WriteStatus,
    expected,
    make_plan,
)
from nano_operator.resources.secret import TOKEN_BYTES, secret

__all__ = ["Api", "Reconciler"]

LISTED: Final = tuple(kind for kind in Kind if kind is not Kind.SECRET)
"""Kinds that are listed.  Secrets are not: one is read by name, others never."""

ROUNDS: Final = 5
"""Removing, letting go, writing, reporting: four are enough; the next look does the
rest."""

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
    ) -> None:
        self._metrics = metrics or Metrics()
        self._api = api
        self._node_image = node_image
        self._operator_namespace = operator_namespace
        self._clock = clock
        self._applied: dict[Key, dict[Ref, Applied]] = {}

    async def __call__(self, key: Key) -> float | None:
        """Look at *key* once; return after how many seconds to look again, if so.

        Raises:
            RefusedError: The API server refused a child; the status says so too.
            ApiError: It could not be asked.
        """
        world = await self._look(key)
        if world is None:
            self._applied.pop(key, None)
            self._metrics.forget_cluster((key.namespace, key.name))
            return None
        return await self._act(key, world)

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
        for ref in expected(world):
            if ref not in children:
                raw_child = await self._find(ref, key.namespace)
                if raw_child is not None:
                    children[ref] = Child.parse(ref.kind, raw_child)
        return dataclasses.replace(world, children=children)

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
                    if not isinstance(action, Apply | LetGo | MakeSecret):
                        raise
                    refusal = error
                    refused = {**world.refused, action.ref: error.message}
                    world = dataclasses.replace(world, refused=refused)
            self._note(key, actions)
            if all(isinstance(action, LAST) for action in actions):
                break
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
            case Delete():
                return await self._delete(key, world, action)
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

    async def _delete(self, key: Key, world: World, action: Delete) -> World:
        resource, ref = action.ref.kind.resource, action.ref
        with contextlib.suppress(NotFoundError):
            await self._api.delete(resource, key.namespace, ref.name, action.uid)
        self._applied.get(key, {}).pop(ref, None)
        logger.info("%s: removed %s", key, ref)
        left = {known: child for known, child in world.children.items() if known != ref}
        return dataclasses.replace(world, children=left)

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
        except ApiError as error:  # history is worth no second try
            logger.warning("%s: an event is lost: %s", key, error)


def _holding(status: Object) -> dict[str, bool]:
    entries = cast("list[Object]", status.get("conditions") or [])
    return {str(entry["type"]): entry["status"] == "True" for entry in entries}


def _with(world: World, child: Child) -> World:
    return dataclasses.replace(world, children={**world.children, child.ref: child})
