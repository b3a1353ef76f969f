"""The NanoCluster resource: one manifest for the laptop and for Kubernetes.

Frozen types with their defaults, the checks, and the CRD made from the same
types.  The package is pure: it reads the file it is given and nothing else, and
imports nothing of the node or of the operator, which both build on it.
"""

from __future__ import annotations

from nano_manifest.manual import reference
from nano_manifest.model import (
    API_VERSION,
    CLUSTER_PORT,
    CONTROL_PORT,
    GROUP,
    KIND,
    OBSERVE_PORT,
    PLURAL,
    VERSION,
    Autoscaling,
    Backend,
    ClusterTls,
    EnvVar,
    Gates,
    GateService,
    IssuedTls,
    Listener,
    LocalReference,
    Master,
    Metadata,
    NanoCluster,
    NetworkPolicy,
    RoleFields,
    Routing,
    Source,
    Spec,
    Template,
    Tls,
    cluster_ports,
)
from nano_manifest.parse import (
    dumps,
    from_object,
    load,
    load_with_sources,
    loads,
    to_object,
)
from nano_manifest.problems import ManifestError
from nano_manifest.rules import RESERVED_ENV
from nano_manifest.schema import crd
from nano_manifest.settings import SETTINGS, Setting, Settings, overridden

__all__ = [
    "API_VERSION",
    "CLUSTER_PORT",
    "CONTROL_PORT",
    "GROUP",
    "KIND",
    "OBSERVE_PORT",
    "PLURAL",
    "RESERVED_ENV",
    "SETTINGS",
    "VERSION",
    "Autoscaling",
    "Backend",
    "ClusterTls",
    "EnvVar",
    "GateService",
    "Gates",
    "IssuedTls",
    "Listener",
    "LocalReference",
    "ManifestError",
    "Master",
    "Metadata",
    "NanoCluster",
    "NetworkPolicy",
    "RoleFields",
    "Routing",
    "Setting",
    "Settings",
    "Source",
    "Spec",
    "Template",
    "Tls",
    "cluster_ports",
    "crd",
    "dumps",
    "from_object",
    "load",
    "load_with_sources",
    "loads",
    "overridden",
    "reference",
    "to_object",
]
