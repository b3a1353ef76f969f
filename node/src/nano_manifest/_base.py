"""What every type of the manifest is made of.

:class:`Object` fixes how all of them behave; the aliases below it are the kinds
of text that Kubernetes, and therefore the manifest, knows.  Each text and list
has a bound, because the API server refuses a schema whose rules could become
expensive.

A bound or a pattern is written once, as :class:`msgspec.Meta`; the checks, the
CRD and the reference are all derived from it.  ``extra["says"]`` is the pattern
in words, for people who do not read regular expressions.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

__all__ = [
    "MAX_ITEMS",
    "AddressRange",
    "Component",
    "ConfigMapName",
    "DataKey",
    "FilePath",
    "Function",
    "Image",
    "ListenerName",
    "Name",
    "Object",
    "Origin",
    "Passed",
    "RouteCode",
    "SecretName",
    "Service",
    "SocketPath",
    "StringMap",
    "UrlPath",
    "VariableName",
    "Version",
]

MAX_ITEMS: Final = 64  # of any list whose length is nobody's real concern

_LABEL = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
_LABEL_SAYS = "lower-case letters, digits and '-', beginning with a letter"
_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"


class Object(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    forbid_unknown_fields=True,
):
    """Root of the manifest's types: frozen, camelCase outside, no unknown keys."""


# Kubernetes asks a letter first only of Services; the cluster's name becomes one.
Name = Annotated[str, Meta(pattern=_LABEL, min_length=1, extra={"says": _LABEL_SAYS})]

# It becomes the name of a container port, which has the narrowest rule of all.
ListenerName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z]([a-z0-9]|-[a-z0-9])*$",
        min_length=1,
        max_length=15,
        extra={"says": _LABEL_SAYS + ", no two '-' in a row"},
    ),
]

VariableName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        min_length=1,
        max_length=253,
        extra={"says": "letters, digits and '_', not beginning with a digit"},
    ),
]

Component = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$",
        max_length=253,
        extra={"says": "a module and a class, as in 'chat.rooms:RoomService'"},
    ),
]

Function = Annotated[
    str,
    Meta(
        pattern=r"^([A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*)?$",
        max_length=253,
        extra={"says": "a module and a function, as in 'chat.routes:by_room'"},
    ),
]

# What routes begin with; a Go service, or one that was named, need be no identifier.
Service = Annotated[
    str,
    Meta(
        pattern=r"^[^\s]+$",
        min_length=1,
        max_length=200,
        extra={"says": "what routes begin with, as in 'RoomService'; no spaces"},
    ),
]

DataKey = Annotated[str, Meta(max_length=256)]

Version = Annotated[
    str,
    Meta(
        pattern=r"^([A-Za-z0-9]([A-Za-z0-9._+-]*[A-Za-z0-9])?)?$",
        max_length=63,
        extra={"says": "letters, digits, '.', '_', '+' and '-', as in '1.4.2'"},
    ),
]

UrlPath = Annotated[
    str,
    Meta(
        pattern=r"^(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?$",
        max_length=256,
        extra={"says": "a path of a URL, beginning with '/', as in '/nano'"},
    ),
]

Origin = Annotated[
    str,
    Meta(
        pattern=r"^https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$",
        max_length=253,
        extra={"says": "scheme, host and maybe port, as in 'https://example.com'"},
    ),
]

# The kernel keeps 108 bytes for the whole path, which the folder is a part of.
SocketPath = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9._/-]*$",
        max_length=100,
        extra={"says": "a path of letters, digits, '.', '_', '-' and '/'"},
    ),
]

FilePath = Annotated[str, Meta(max_length=1024)]

SecretName = Annotated[
    str,
    Meta(
        pattern=rf"^({_SUBDOMAIN})?$",
        max_length=253,
        extra={"says": "the name of a Secret, as in 'game-tls'"},
    ),
]

ConfigMapName = Annotated[
    str,
    Meta(
        pattern=rf"^{_SUBDOMAIN}$",
        min_length=1,
        max_length=253,
        extra={"says": "the name of a ConfigMap, as in 'room-source'"},
    ),
]

# Roughly: whether it is a range of addresses is tried by the rules.
AddressRange = Annotated[
    str,
    Meta(
        pattern=r"^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$",
        max_length=49,
        extra={"says": "an address or a range of them, as in '10.0.0.0/8'"},
    ),
]

RouteCode = Annotated[int, Meta(ge=0, le=65_535)]

Image = Annotated[str, Meta(max_length=512)]

StringMap = Annotated[
    dict[str, Annotated[str, Meta(max_length=8192)]], Meta(max_length=MAX_ITEMS)
]

# An object of Kubernetes' own that we hand on unread.
Passed = dict[str, object]
