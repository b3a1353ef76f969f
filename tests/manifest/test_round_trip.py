from __future__ import annotations

import string
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nano_manifest import (
    Backend,
    EnvVar,
    Gates,
    GateService,
    Listener,
    Master,
    Metadata,
    NanoCluster,
    Settings,
    Spec,
    Template,
    Tls,
    dumps,
    from_object,
    loads,
    to_object,
)

names = st.from_regex(r"[a-z]([a-z0-9]|-[a-z0-9]){0,6}", fullmatch=True)
safe_names = names.filter(
    lambda name: name not in ("master", "gate", "cluster", "observe", "control")
)
texts = st.text(max_size=20)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
    ),
    max_leaves=5,
)
passed = st.dictionaries(texts, json_values, max_size=3)
labels = st.dictionaries(
    st.from_regex(r"[a-z]{1,8}", fullmatch=True), texts, max_size=3
)
variables = st.lists(
    st.builds(
        EnvVar,
        name=st.text(string.ascii_uppercase, min_size=1, max_size=4),
        value=texts,
    ),
    max_size=3,
    unique_by=lambda variable: variable.name,
)
components = st.lists(
    st.from_regex(r"[a-z_]{1,5}(\.[a-z_]{1,5})?:[A-Z][a-z]{0,5}", fullmatch=True),
    min_size=1,
    max_size=3,
    unique=True,
)
templates = st.builds(
    Template,
    labels=labels,
    annotations=labels,
    volume_mounts=st.lists(passed, max_size=2),
    node_selector=labels,
    affinity=passed,
    service_account_name=names,
)
role = {
    "image": texts,
    "env": variables,
    "env_from": st.lists(passed, max_size=2),
    "resources": passed,
    "template": templates,
}
listeners = st.lists(
    st.builds(
        Listener,
        name=safe_names,
        transport=st.sampled_from(["tcp", "websocket"]),
        port=st.integers(1024, 7649),
        tls=st.none()
        | st.builds(Tls, secret_name=names)
        | st.builds(Tls, cert_file=names, key_file=names),
    ),
    min_size=1,
    max_size=3,
    unique_by=(lambda item: item.name, lambda item: item.port),
)
backends = st.lists(
    st.builds(
        Backend,
        name=safe_names,
        replicas=st.integers(0, 1000),
        components=components,
        **role,
    ),
    max_size=2,
    unique_by=lambda backend: backend.name,
)
clusters = st.builds(
    NanoCluster,
    metadata=st.builds(Metadata, name=names, labels=labels),
    spec=st.builds(
        Spec,
        image=texts,
        settings=st.builds(
            Settings,
            client_heartbeat_seconds=st.floats(0.1, 3600),
            max_packet_bytes=st.integers(1024, 16_777_215),
            serializer=st.sampled_from(["json", "protobuf", "raw"]),
            log_level=st.sampled_from(["debug", "info", "warning", "error"]),
        ),
        master=st.builds(Master, **role),
        gates=st.builds(
            Gates,
            replicas=st.integers(0, 1000),
            listeners=listeners,
            service=st.builds(GateService, annotations=labels),
            **role,
        ),
        backends=backends,
    ),
)


@settings(max_examples=25)  # a whole cluster is much to invent
@given(clusters)
def test_what_is_written_is_read_back_the_same(cluster: NanoCluster) -> None:
    assert loads(dumps(cluster)) == cluster


@settings(max_examples=25)  # a whole cluster is much to invent
@given(clusters)
def test_an_object_is_read_back_the_same(cluster: NanoCluster) -> None:
    assert from_object(to_object(cluster)) == cluster


def test_what_has_its_default_is_not_written() -> None:
    cluster = NanoCluster(
        metadata=Metadata(name="echo"),
        spec=Spec(gates=Gates(replicas=3), settings=Settings()),
        status={"observedGeneration": 1},
    )
    assert yaml.safe_load(dumps(cluster)) == {
        "apiVersion": "nanocluster.io/v1alpha1",
        "kind": "NanoCluster",
        "metadata": {"name": "echo"},
        "spec": {"gates": {"replicas": 3}},
    }
