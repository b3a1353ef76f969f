"""The API server, as the operator uses it: seven calls and the CRD.

The only module that makes requests (kopf's watches aside).  Writes go by
server-side apply with the apply content type named, without which the client
library would send a plain merge.  Each call has a time limit; a refusal to serve
now (429, 5xx, no connection) is retried a few times, as late as the server asks.

:data:`CALLS` lists everything that is ever asked, and a call that is not in it is
not made: so the chart's RBAC, which a test compares with it, is neither too wide
nor too narrow.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Final, Self, cast
from urllib.parse import quote

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import (
    ConfigException,
    load_incluster_config,
    load_kube_config,
)

from nano_operator.errors import (
    ApiError,
    ConflictError,
    NotFoundError,
    RefusedError,
    SetupError,
    TerminatingError,
    UnavailableError,
)
from nano_operator.metrics import Metrics
from nano_operator.names import MANAGER
from nano_operator.objects import Object, Resource

__all__ = ["CALLS", "LONGEST_PAUSE_SECONDS", "Kube", "load_configuration"]

_KEPT: Final = frozenset({"list", "create", "patch", "delete"})

CALLS: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    ("nanocluster.io", "nanoclusters"): frozenset({"list", "watch"}),
    ("nanocluster.io", "nanoclusters/status"): frozenset({"patch"}),
    # not a call: clusters that check blockOwnerDeletion ask for it
    ("nanocluster.io", "nanoclusters/finalizers"): frozenset({"update"}),
    ("apps", "deployments"): frozenset({"list", "watch", "create", "patch", "delete"}),
    ("", "services"): frozenset({"list", "watch", "create", "patch", "delete"}),
    ("", "configmaps"): _KEPT,
    # not by server-side apply alone: who makes one must not overwrite another's
    ("", "secrets"): frozenset({"get", "create", "patch", "delete"}),
    ("", "events"): frozenset({"create"}),
    ("", "pods"): frozenset({"list", "patch"}),
    ("discovery.k8s.io", "endpointslices"): frozenset({"list"}),
    ("coordination.k8s.io", "leases"): frozenset({"get", "update"}),
    ("networking.k8s.io", "networkpolicies"): _KEPT,
    ("policy", "poddisruptionbudgets"): _KEPT,
    ("autoscaling", "horizontalpodautoscalers"): _KEPT,
    ("apiextensions.k8s.io", "customresourcedefinitions"): frozenset(
        {"get", "create", "patch"}
    ),
}
"""(API group, resource) → verbs.  ``watch`` is asked by kopf."""

STATUS_MANAGER: Final = f"{MANAGER}-status"
APPLY: Final = "application/apply-patch+yaml"

REQUEST_SECONDS: Final = 30.0
ATTEMPTS: Final = 4
PAUSE_SECONDS: Final = 0.5  # before the second attempt; doubled before each further one
LONGEST_PAUSE_SECONDS: Final = 20.0
MISTYPED: Final = "failed to create typed patch object"
"""How a server-side apply with a value of the wrong type is refused: by a 500."""

TERMINATING: Final = "NamespaceTerminating"
"""The cause of refusals to make something in a namespace that is being deleted."""

PAGE: Final = 500  # objects in one answer to a LIST


async def load_configuration() -> Configuration:
    """Return how to reach the API server: as a pod, or as the kubeconfig says.

    Raises:
        SetupError: There is neither.
    """
    configuration = Configuration()
    try:
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except ConfigException:
        try:
            await load_kube_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration, persist_config=False
            )
        except (ConfigException, OSError) as error:
            message = (
                "no API server: run in a pod with a service account, or set KUBECONFIG "
                f"to a kubeconfig file ({error})"
            )
            raise SetupError(message) from None
    return configuration


class Kube:
    """A connection to one API server; an asynchronous context manager.

    Safe to share between tasks of one event loop.  After an error it can be used
    on: each request stands alone.
    """

    def __init__(
        self,
        configuration: Configuration,
        metrics: Metrics | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """*sleep* waits for so many seconds between two attempts."""
        self._client = ApiClient(configuration)
        self._client.user_agent = MANAGER
        self._metrics = metrics or Metrics()
        self._sleep = sleep

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.close()  # type: ignore[no-untyped-call]

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        name: str = "",
    ) -> list[Object]:
        """Return the objects with these labels and this name; "" means any.

        An empty *namespace* means all of them.
        """
        query = {"limit": str(PAGE)}
        if labels:
            query["labelSelector"] = labels
        if name:
            query["fieldSelector"] = f"metadata.name={name}"
        found: list[Object] = []
        while True:
            page = await self._call("list", resource, namespace, query=query)
            found += cast("list[Object]", page["items"])
            more = cast("Object", page["metadata"]).get("continue")
            if not more:
                return found
            query["continue"] = str(more)

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """Return one object, or None when it is not there."""
        try:
            return await self._call("get", resource, namespace, name)
        except NotFoundError:
            return None

    async def create(self, resource: Resource, body: Object) -> Object:
        """Make an object.

        Raises:
            ConflictError: It exists.
        """
        namespace, _ = _whose(body)
        query = {"fieldManager": MANAGER}
        return await self._call("create", resource, namespace, query=query, body=body)

    async def replace(self, resource: Resource, body: Object) -> Object:
        """Write an object that was read before.

        Raises:
            ConflictError: Somebody else has written it meanwhile.
        """
        namespace, name = _whose(body)
        return await self._call("update", resource, namespace, name, body=body)

    async def apply(
        self, resource: Resource, body: Object, manager: str = MANAGER
    ) -> Object:
        """Write the fields of *body*, taking them from others; return the object.

        *manager* is whom Kubernetes remembers for them.
        """
        namespace, name = _whose(body)
        query = {"fieldManager": manager, "force": "true"}
        return await self._call("patch", resource, namespace, name, query, body)

    async def apply_status(self, resource: Resource, body: Object) -> Object:
        """Do the same with a status, under a manager of its own."""
        namespace, name = _whose(body)
        query = {"fieldManager": STATUS_MANAGER, "force": "true"}
        status = Resource(resource.group, resource.version, f"{resource.plural}/status")
        return await self._call("patch", status, namespace, name, query, body)

    async def delete(
        self, resource: Resource, namespace: str, name: str, uid: str
    ) -> None:
        """Remove an object, and what it owns, if it still has this *uid*.

        Raises:
            ConflictError: Another object has taken the name.
            NotFoundError: It is gone already.
        """
        body: Object = {
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        await self._call("delete", resource, namespace, name, body=body)

    async def serves(self, resource: Resource) -> bool:
        """Tell whether discovery shows *resource*: watches on it can start."""
        path = f"/apis/{resource.group}/{resource.version}"
        try:
            found = await self._request("GET", path, f"discover {resource.plural}")
        except NotFoundError:
            return False
        entries = cast("list[Object]", found["resources"])
        return any(entry["name"] == resource.plural for entry in entries)

    async def _call(
        self,
        verb: str,
        resource: Resource,
        namespace: str = "",
        name: str = "",
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
    ) -> Object:
        if verb not in CALLS.get((resource.group, resource.plural), ()):
            message = f"{verb} {resource.plural} is not in CALLS"
            raise AssertionError(message)
        methods = {
            "create": "POST",
            "update": "PUT",
            "patch": "PATCH",
            "delete": "DELETE",
        }
        asked = f"{verb} {resource.plural} {namespace}/{name}".rstrip("/ ")
        path = _path(resource, namespace, name)
        try:
            answer = await self._request(
                methods.get(verb, "GET"), path, asked, query, body
            )
        except ApiError as error:
            self._count(verb, resource, error.status)
            raise
        self._count(verb, resource, 200)
        return answer

    def _count(self, verb: str, resource: Resource, status: int) -> None:
        self._metrics.requests.labels(verb, resource.plural, str(status)).inc()

    async def _request(
        self,
        method: str,
        path: str,
        asked: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
    ) -> Object:
        """Ask, and ask again a few times while the server is unavailable."""
        pause = PAUSE_SECONDS
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._once(method, path, asked, query, body)
            except _NotNow as error:
                if attempt == ATTEMPTS:
                    raise
                wait = max(pause, error.retry_after) * random.uniform(1.0, 1.2)
                await self._sleep(min(wait, LONGEST_PAUSE_SECONDS))
                pause *= 2
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _once(
        self,
        method: str,
        path: str,
        asked: str,
        query: Mapping[str, str] | None,
        body: Object | None,
    ) -> Object:
        headers = {"Accept": "application/json"}
        if method == "PATCH":
            headers["Content-Type"] = APPLY
        request = await self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        limit = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        try:
            response = await self._client.call_api(*request, _request_timeout=limit)
            content = await response.read()  # type: ignore[no-untyped-call]
        except (aiohttp.ClientError, TimeoutError) as error:
            said = str(error) or type(error).__name__
            raise _NotNow(0, "", said, asked) from error
        if 200 <= response.status < 300:
            return cast("Object", json.loads(content))
        raise _error(response.status, response.headers, content, asked)


class _NotNow(UnavailableError):
    """The server may answer later; *retry_after* is what it asked for, in seconds."""

    retry_after = 0.0


def _error(
    status: int, headers: Mapping[str, str], content: bytes, asked: str
) -> ApiError:
    going = False
    try:
        told = json.loads(content)
        reason, message = str(told.get("reason", "")), str(told.get("message", ""))
        details = told.get("details") or {}
        causes = {cause.get("reason") for cause in details.get("causes") or ()}
        going = TERMINATING in causes or details.get("kind") == "namespaces"
    except (ValueError, AttributeError, TypeError):  # a proxy, not an API server
        reason, message = "", content.decode(errors="replace")[:200]
    if going:
        return TerminatingError(status, reason, message, asked)
    if message.startswith(MISTYPED):
        return RefusedError(status, reason, message, asked)
    if status == 429 or status >= 500:
        later = _NotNow(status, reason, message, asked)
        wanted = headers.get("Retry-After", "")
        later.retry_after = float(wanted) if wanted.isdecimal() else 0.0
        return later
    kinds: dict[int, type[ApiError]] = {404: NotFoundError, 409: ConflictError}
    if status in (400, 403, 413, 415, 422):
        return RefusedError(status, reason, message, asked)
    return kinds.get(status, ApiError)(status, reason, message, asked)


def _whose(body: Object) -> tuple[str, str]:
    metadata = cast("Object", body["metadata"])
    return str(metadata.get("namespace", "")), str(metadata["name"])


def _path(resource: Resource, namespace: str, name: str) -> str:
    root = f"/apis/{resource.group}" if resource.group else "/api"
    plural, _, below = resource.plural.partition("/")
    parts = [root, resource.version]
    if namespace:
        parts += ["namespaces", quote(namespace, safe="")]
    parts.append(plural)
    if name:
        parts.append(quote(name, safe=""))
    if below:
        parts.append(below)
    return "/".join(parts)
