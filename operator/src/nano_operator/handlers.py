"""kopf, reduced to what it does best: watches that reconnect.

An event becomes the name of a cluster and nothing more, so a handler cannot fail
and its order, its repetition or its loss do no harm.  kopf's own state keeping
(annotations, finalizers, peering, posted events) is never used; it appears only with
handlers of kinds that are not registered here.

The one module that imports kopf: another watcher would replace this file alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import kopf
from kubernetes.aio.client import Configuration

from nano_manifest import GROUP, PLURAL, VERSION
from nano_operator.controller import Key
from nano_operator.errors import WatchError
from nano_operator.kube import load_configuration
from nano_operator.names import CLUSTER, MANAGED_BY, MANAGER

__all__ = ["watch"]

Enqueue = Callable[[Key], Awaitable[None]]


async def watch(
    enqueue: Enqueue,
    namespaces: Sequence[str],
    heard: Callable[[Key, str], None],
) -> None:
    """Watch clusters and their children until a signal stops the process.

    Args:
        enqueue: Called with the cluster that an event is about.
        namespaces: Where to watch; everywhere if there are none.
        heard: Called with a cluster and its version whenever the watch tells of it.

    Raises:
        WatchError: The API server keeps refusing a watch, or kopf failed.
    """
    try:
        await kopf.operator(
            registry=_registry(enqueue, heard),
            settings=_settings(),
            namespaces=list(namespaces),
            clusterwide=not namespaces,
        )
    except Exception as error:  # kopf's own errors have no public names
        message = f"watching ended, does the operator have its rights? {error}"
        raise WatchError(message) from error


def _registry(
    enqueue: Enqueue, heard: Callable[[Key, str], None]
) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    async def login(**_: object) -> kopf.ConnectionInfo:
        return _connection(await load_configuration())

    async def cluster_event(
        name: str, namespace: str | None, meta: kopf.Meta, **_: object
    ) -> None:
        key = Key(namespace or "", name)
        heard(key, str(meta.get("resourceVersion", "")))
        await enqueue(key)

    async def child_event(
        namespace: str | None, labels: kopf.Labels, **_: object
    ) -> None:
        if CLUSTER in labels:
            await enqueue(Key(namespace or "", labels[CLUSTER]))

    ours = {MANAGED_BY: MANAGER}
    kopf.on.login(registry=registry)(login)
    kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)(cluster_event)
    kopf.on.event(
        "apps", "v1", "deployments", registry=registry, labels=ours, id="deployment"
    )(child_event)
    kopf.on.event("v1", "services", registry=registry, labels=ours, id="service")(
        child_event
    )
    return registry


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True  # a foreign kopf operator must not pause us
    settings.scanning.disabled = True  # no listing of all CRDs and namespaces
    settings.posting.enabled = False
    settings.execution.max_workers = 1  # there are no synchronous handlers
    settings.networking.request_timeout = 30
    # A watch that says nothing, not even a bookmark, is dead: seen in many operators.
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 30
    settings.watching.inactivity_timeout = 70
    selector = f"{MANAGED_BY}={MANAGER}"
    settings.watching.label_selectors["apps", "v1", "deployments"] = selector
    settings.watching.label_selectors["v1", "services"] = selector
    # Unused, and should they ever be: not those of another kopf operator.
    settings.persistence.finalizer = f"{GROUP}/finalizer"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(
        prefix=GROUP
    )
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(
        prefix=GROUP
    )
    return settings


def _connection(configuration: Configuration) -> kopf.ConnectionInfo:
    """Return the same way to the API server that the writes take."""
    scheme, _, token = configuration.api_key.get("BearerToken", "").partition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        scheme=scheme.capitalize() or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )
