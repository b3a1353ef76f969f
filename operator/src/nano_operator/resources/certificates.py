"""The Secrets with the certificates that the operator issues.

Three: that of the authority, which no pod mounts and whose key signs; that of all nodes
but the master; the master's.  What is in them :mod:`nano_operator.certificates` decides
and makes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from nano_operator.certificates.keeping import Kept
from nano_operator.certificates.machine import Owner, Situation
from nano_operator.certificates.reading import Identity, data_of
from nano_operator.names import ROTATE, authority_name
from nano_operator.objects import Child, Kind, Object, Ref
from nano_operator.resources.context import Context, metadata

__all__ = [
    "certificate_refs",
    "certificate_secret",
    "certificates_status",
    "kept",
    "secret_ref",
]

STAMP = "%Y-%m-%dT%H:%M:%SZ"


def secret_ref(cluster: str, owner: Owner | None) -> Ref:
    """Return the Secret of *owner* in *cluster*; ``None`` means the authority."""
    if owner is None:
        return Ref(Kind.SECRET, authority_name(cluster))
    return Ref(Kind.SECRET, f"{cluster}-{owner.value}-tls")


def certificate_refs(cluster: str) -> list[Ref]:
    """Return all Secrets with certificates of *cluster*, the authority's first."""
    return [secret_ref(cluster, owner) for owner in (None, *Owner)]


def kept(
    namespace: str, cluster: str, children: Mapping[Ref, Child], ours: frozenset[Ref]
) -> Kept:
    """Return what the Secrets hold.

    Args:
        namespace: Of the cluster.
        cluster: Its name.
        children: As the API server shows them.
        ours: Which of them to look into; others count as not there.
    """
    refs = {owner: secret_ref(cluster, owner) for owner in (None, *Owner)}
    found = {
        owner: children[ref]
        for owner, ref in refs.items()
        if ref in children and ref in ours
    }
    store = found.get(None)
    return Kept(
        identity=Identity.of(namespace, cluster),
        authority=data_of(store.raw) if store else {},
        answered=store.meta.annotations.get(ROTATE, "") if store else "",
        leaves={owner: data_of(found[owner].raw) for owner in Owner if owner in found},
    )


def certificate_secret(
    context: Context, owner: Owner | None, data: Mapping[str, bytes], answered: str
) -> Object:
    """Return the Secret of *owner*, or of the authority, with these entries.

    Args:
        context: Of the cluster.
        owner: Whose it is.
        data: Its entries.
        answered: The wish for a rotation that this follows; kept with the authority.
    """
    name = secret_ref(context.name, owner).name
    kind = "Opaque" if owner is None else "kubernetes.io/tls"
    said = {ROTATE: answered} if owner is None else None
    return metadata(context, Kind.SECRET, name, annotations=said) | {
        "type": kind,
        "data": {key: base64.b64encode(it).decode() for key, it in data.items()},
    }


def certificates_status(situation: Situation) -> Object | None:
    """Return what the status says of them; ``None`` while one is not there."""
    current = situation.store.current
    if current is None or any(situation.lacks(owner) for owner in Owner):
        return None
    first = min(leaf.span.ends for leaf in situation.leaves.values())
    return {
        "phase": situation.store.phase.value,
        "expires": first.strftime(STAMP),
        "authorityExpires": current.span.ends.strftime(STAMP),
    }
