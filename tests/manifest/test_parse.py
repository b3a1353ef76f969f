from __future__ import annotations

from pathlib import Path

import pytest

from nano_manifest import (
    Backend,
    Gates,
    Listener,
    ManifestError,
    Metadata,
    NanoCluster,
    Spec,
    from_object,
    load,
    load_with_sources,
    loads,
)

HEAD = """\
apiVersion: nanocluster.io/v1alpha1
kind: NanoCluster
metadata:
  name: echo
"""


def refused(text: str) -> str:
    with pytest.raises(ManifestError) as caught:
        loads(text, source="cluster.yaml")
    return str(caught.value)


def test_the_smallest_manifest_has_a_master_and_two_gates() -> None:
    cluster = loads(HEAD)
    assert cluster == NanoCluster(metadata=Metadata(name="echo"))
    assert cluster.metadata.namespace == "default"
    assert cluster.spec.gates.replicas == 2
    assert cluster.spec.gates.listeners == [
        Listener(name="ws", transport="websocket", port=3250)
    ]
    assert cluster.spec.backends == []


def test_a_manifest_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(HEAD)
    assert load(path).metadata.name == "echo"


def test_a_value_that_is_left_empty_is_a_value_that_is_left_out() -> None:
    cluster = loads(HEAD + "spec:\n  gates:\n  backends:\n")
    assert cluster.spec == Spec()


def test_what_kubernetes_keeps_about_an_object_is_ignored() -> None:
    cluster = from_object(
        {
            "apiVersion": "nanocluster.io/v1alpha1",
            "kind": "NanoCluster",
            "metadata": {
                "name": "echo",
                "namespace": "games",
                "uid": "u-1",
                "generation": 7,
                "managedFields": [{"manager": "kubectl"}],
                "resourceVersion": "12",
            },
            "spec": {},
            "status": {"whatever": 1},
        }
    )
    assert cluster.metadata == Metadata(
        name="echo", namespace="games", uid="u-1", generation=7
    )


def test_all_problems_are_told_at_once_with_their_lines() -> None:
    text = (
        HEAD
        + """\
spec:
  gates:
    listeners:
    - {name: ws, transport: websocket, port: 3250}
    - name: ws
      transport: tcp
      port: 7650
  backends:
  - name: gate
    components: [echo:EchoService]
"""
    )
    assert (
        refused(text)
        == """\
cluster.yaml:9: spec.gates.listeners[1].name: ws is there already; each may appear once
cluster.yaml:11: spec.gates.listeners[1].port: 7650 is the cluster port; choose another
cluster.yaml:13: spec.backends[0].name: gate is a role; choose another name"""
    )


def test_faults_of_shape_are_told_together() -> None:
    text = (
        HEAD
        + "spec:\n  gates: {replica: 2}\n  backends:\n  - replicas: x\n    nam: a\n"
    )
    lines = [line.removeprefix("cluster.yaml:") for line in refused(text).splitlines()]
    assert [line.partition(". ")[0] for line in lines] == [
        "6: spec.gates.replica: unknown field; did you mean replicas?",
        "8: spec.backends[0].components: is required",
        "8: spec.backends[0].name: is required",
        "8: spec.backends[0].replicas: must be a whole number, is a text ('x')",
        "9: spec.backends[0].nam: unknown field; did you mean name?",
    ]


def test_a_problem_is_a_field_and_a_sentence() -> None:
    with pytest.raises(ManifestError) as caught:
        loads(HEAD + "spec: {gates: {replicas: -1}}\n")
    assert caught.value.problems == (
        ("spec.gates.replicas", "must be at least 0, is -1"),
    )
    assert str(caught.value) == (
        "line 5: spec.gates.replicas: must be at least 0, is -1"
    )


def test_a_key_that_is_written_twice_is_refused_with_its_line() -> None:
    text = HEAD + "spec:\n  gates: {replicas: 1}\n  gates: {replicas: 3}\n"
    assert refused(text) == "cluster.yaml:7: spec.gates: is written twice; remove one"


def test_the_same_key_in_two_places_is_no_duplicate() -> None:
    loads(HEAD + "spec:\n  gates: {replicas: 1}\n  backends: []\n  master: {env: []}\n")


def test_a_second_document_is_refused_with_its_line() -> None:
    assert refused(HEAD + "---\nkind: ConfigMap\n") == (
        "cluster.yaml:6: a second document begins here; a file holds one manifest "
        "and, maybe, ConfigMaps with its components"
    )


BESIDE = """\
---
apiVersion: v1
kind: ConfigMap
metadata: {name: first}
data:
  room.py: |
    print("hello")
"""


def test_config_maps_may_stand_before_and_behind_the_manifest(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(f"{BESIDE}---\n{HEAD}{BESIDE.replace('first', 'second')}")
    cluster, sources = load_with_sources(path)
    assert cluster.metadata.name == "echo"
    hello = {"room.py": 'print("hello")\n'}
    assert sources == {"first": hello, "second": hello}
    assert load(path) == cluster


def test_a_bad_config_map_is_refused_with_its_lines() -> None:
    text = f"{HEAD}---\napiVersion: v1\nkind: ConfigMap\ndata:\n  ../a: b\n  c.py: 1\n"
    assert refused(text).splitlines() == [
        "cluster.yaml:6: metadata.name: is required. Name of the ConfigMap.",
        (
            "cluster.yaml:9: data[../a]: is no name of a file; expected letters, "
            "digits, '-', '_' and '.'"
        ),
        "cluster.yaml:10: data[c.py]: must be a text; write it as a block, behind '|'",
    ]


def test_two_config_maps_of_one_name_are_refused() -> None:
    assert refused(HEAD + BESIDE + BESIDE) == (
        "cluster.yaml:15: metadata.name: first is there already"
    )


def test_lines_of_dashes_without_a_document_are_harmless() -> None:
    assert loads("---\n" + HEAD + "---\n").metadata.name == "echo"


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing yet\n", "---\n---\n"])
def test_an_empty_file_is_told_how_to_begin(text: str) -> None:
    assert refused(text) == (
        "cluster.yaml: is empty; a manifest begins with "
        "'apiVersion: nanocluster.io/v1alpha1' and 'kind: NanoCluster'"
    )


@pytest.mark.parametrize("text", ["- a\n", "just text\n", "42\n"])
def test_what_is_no_object_is_told_how_to_begin(text: str) -> None:
    assert "is no manifest: a manifest begins with" in refused(text)


def test_another_kind_of_object_is_named_and_nothing_else_is_said() -> None:
    assert refused("apiVersion: v1\nkind: ConfigMap\ndata: {}\n").splitlines() == [
        "cluster.yaml:1: apiVersion: must be nanocluster.io/v1alpha1, is v1",
        "cluster.yaml:2: kind: must be NanoCluster, is ConfigMap",
    ]


def test_a_manifest_without_a_kind_is_told_so() -> None:
    assert "kind: is required" in refused("apiVersion: nanocluster.io/v1alpha1\n")


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ManifestError) as caught:
        load("nowhere/cluster.yaml")
    assert str(caught.value) == (
        "nowhere/cluster.yaml: cannot be read: No such file or directory"
    )


def test_a_folder_is_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="Is a directory"):
        load(tmp_path)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_bytes(b"kind: \xff")
    with pytest.raises(ManifestError, match=r"is no UTF-8 text \(byte 6\)"):
        load(path)


def test_broken_yaml_is_told_with_its_line() -> None:
    said = refused("kind: [NanoCluster\nmetadata: {}\n")
    assert said.startswith("cluster.yaml:2: ")


def test_a_control_character_is_refused_without_a_traceback() -> None:
    assert "is no YAML" in refused("kind: \x01\n")


def test_a_date_stays_the_text_it_was_written_as() -> None:
    text = HEAD + "spec: {gates: {env: [{name: DAY, value: 2026-11-21}]}}\n"
    assert loads(text).spec.gates.env[0].value == "2026-11-21"


def test_an_alias_is_the_thing_it_stands_for() -> None:
    text = (
        HEAD
        + """\
spec:
  gates: {env: &both [{name: A, value: x}]}
  master: {env: *both}
"""
    )
    cluster = loads(text)
    assert cluster.spec.master.env == cluster.spec.gates.env


def test_a_thing_that_contains_itself_is_refused() -> None:
    assert refused(HEAD + "spec: {gates: {resources: &a {b: *a}}}\n") == (
        "cluster.yaml:5: spec.gates.resources.b: stands for something that it is a "
        "part of"
    )


def test_a_bottomless_pit_is_refused() -> None:
    assert refused("[" * 1200) == "cluster.yaml: is nested too deeply"


def test_aliases_of_aliases_take_no_time() -> None:
    levels = "".join(f"  b{i + 1}: &b{i + 1} [*b{i}, *b{i}]\n" for i in range(40))
    said = refused(HEAD + f"spec:\n  b0: &b0 []\n{levels}")
    assert len(said.splitlines()) == 41


def test_a_key_that_is_no_text_is_refused() -> None:
    said = refused(HEAD + "spec: {gates: {template: {labels: {1: a}}}}\n")
    assert said == (
        "cluster.yaml:5: spec.gates.template.labels[1]: a key must be a text, is a "
        "number (1); put it in quotes"
    )


def test_types_are_values() -> None:
    backend = Backend(name="a", components=["a:B"])
    assert backend == Backend(name="a", components=["a:B"])
    with pytest.raises(AttributeError):
        backend.name = "b"  # type: ignore[misc]
    assert Gates().template is not None


@pytest.mark.parametrize(
    ("dictionary", "problem"),
    [
        ({"R.a": 1, "R.b": 1}, "[R.b]: 1 is the code of R.a already"),
        ({" R.a": 1}, "[ R.a]: a route has 1 to 255 bytes, and no space around them"),
        ({"r" * 256: 1}, f".{'r' * 256}: a route has 1 to 255 bytes, and no space"),
        ({f"R.r{n}": n for n in range(1001)}, ": must have at most 1000"),
    ],
)
def test_a_dictionary_is_checked_where_the_api_server_does_not(
    dictionary: dict[str, int], problem: str
) -> None:
    listener = {"name": "a", "transport": "tcp", "port": 4000, "dictionary": dictionary}
    with pytest.raises(ManifestError) as caught:
        from_object(
            {
                "apiVersion": "nanocluster.io/v1alpha1",
                "kind": "NanoCluster",
                "metadata": {"name": "echo"},
                "spec": {"gates": {"listeners": [listener]}},
            }
        )
    assert f"spec.gates.listeners[0].dictionary{problem}" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [("10.0.0.1/8", "has host bits set"), ("1.2.3", "does not appear to be")],
)
def test_a_range_of_addresses_is_tried_beyond_its_letters(
    given: str, says: str
) -> None:
    """What the API server leaves to us: it knows no addresses."""
    listener = (
        f"{{name: a, transport: websocket, port: 4000, trustedProxies: [{given}]}}"
    )
    said = refused(f"{HEAD}spec: {{gates: {{listeners: [{listener}]}}}}\n")
    assert "spec.gates.listeners[0].trustedProxies[0]: is no range of addresses" in said
    assert says in said
    assert "expected one as 10.0.0.0/8" in said


def test_an_autoscaler_needs_to_know_how_much_cpu_is_asked_for() -> None:
    text = """\
spec:
  gates:
    resources: {requests: {memory: 1Gi}}
    autoscaling: {minReplicas: 2, maxReplicas: 4}
"""
    assert refused(HEAD + text).endswith(
        "spec.gates.autoscaling: needs resources.requests.cpu of this role: "
        "cpuPercent is a part of it"
    )
