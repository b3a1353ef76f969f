"""What the operator may do is what it does: the chart's rules against its calls."""

from __future__ import annotations

import pytest

from nano_operator.kube import CALLS

from .conftest import Helm
from .rendered import Chart, Rights, at, rights

OPERATOR = "system:arena-operator"
DEFINITIONS = ("apiextensions.k8s.io", "customresourcedefinitions")
LEASES = ("coordination.k8s.io", "leases")
ELSEWHERE = (DEFINITIONS, LEASES)
NAMESPACED: Rights = {
    key: verbs for key, verbs in CALLS.items() if key not in ELSEWHERE
}


def test_cluster_wide_the_rights_are_the_calls(default: Chart) -> None:
    everywhere = rights(default.named("ClusterRole", OPERATOR))
    assert everywhere == {key: CALLS[key] for key in CALLS if key != LEASES}


def test_the_lease_is_its_own_business_where_it_lives(default: Chart) -> None:
    role = default.one("Role")
    assert at(role, "metadata.namespace") == "system"
    assert rights(role) == {LEASES: CALLS[LEASES]}
    assert at(role, "rules.0.resourceNames") == ["arena-operator"]
    assert at(default.one("Lease"), "metadata.name") == "arena-operator"
    assert default.env()["NANO_OPERATOR_LEASE"] == "arena-operator"
    binding = default.one("RoleBinding")
    assert at(binding, "metadata.namespace") == "system"
    assert at(binding, "roleRef.name") == at(role, "metadata.name")


@pytest.mark.parametrize("namespace", ["blue", "green"])
def test_in_a_list_of_namespaces_the_rights_end_there(
    helm: Helm, namespace: str
) -> None:
    chart = helm.template("--set", "watchNamespaces={blue,green}")
    everywhere = chart.named("ClusterRole", OPERATOR)
    assert rights(everywhere) == {DEFINITIONS: CALLS[DEFINITIONS]}
    (role,) = [
        each
        for each in chart.all("Role")
        if at(each, "metadata.namespace") == namespace
    ]
    assert rights(role) == NAMESPACED
    (binding,) = [
        each
        for each in chart.all("RoleBinding")
        if at(each, "metadata.namespace") == namespace
    ]
    assert at(binding, "roleRef.kind") == "Role"
    assert at(binding, "roleRef.name") == at(role, "metadata.name")
    assert at(binding, "subjects.0") == {
        "kind": "ServiceAccount",
        "name": "arena-operator",
        "namespace": "system",
    }


def test_the_definition_is_the_only_one_it_may_touch(default: Chart) -> None:
    rule = at(default.named("ClusterRole", OPERATOR), "rules.0")
    assert at(rule, "resources") == ["customresourcedefinitions"]
    assert at(rule, "resourceNames") == ["nanoclusters.nanocluster.io"]


def test_no_right_is_a_wildcard(default: Chart) -> None:
    for role in default.all("ClusterRole"):
        for (group, resource), verbs in rights(role).items():
            assert "*" not in {group, resource, *verbs}


def test_rights_can_be_left_to_somebody_else(helm: Helm) -> None:
    chart = helm.template("--set", "rbac.create=false,rbac.aggregate=false")
    assert chart.kinds() == [
        "Deployment",
        "Lease",
        "PodDisruptionBudget",
        "ServiceAccount",
    ]


def test_the_clusters_own_roles_learn_of_the_resource(default: Chart) -> None:
    label = "rbac.authorization.k8s.io/aggregate-to-{}"
    for name in ("view", "edit"):
        role = default.named("ClusterRole", f"{OPERATOR}:{name}")
        labels = at(role, "metadata.labels")
        assert isinstance(labels, dict)
        assert labels[label.format(name)] == "true"
        assert {group for group, _ in rights(role)} == {"nanocluster.io"}


def test_two_releases_of_one_name_share_no_cluster_wide_name(helm: Helm) -> None:
    one, other = (
        {
            at(each, "metadata.name")
            for each in helm.template(f"--namespace={namespace}")
            if str(each["kind"]).startswith("Cluster")
        }
        for namespace in ("blue", "green")
    )
    assert not one & other
