"""Who of several operators works: as a story in memory, and with real processes."""

from __future__ import annotations

import copy
import json
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import pytest

from nano_operator.errors import ConflictError, UnavailableError
from nano_operator.lease import Lease, LeaseLostError
from nano_operator.objects import Object, Resource

from .apiserver import ApiServer
from .operating import OperatorProcess, eventually, grant, look
from .worlds import cluster, inner


class Office:
    """Keeps one Lease as an API server does, and a clock that only sleepers turn.

    Attributes:
        lease: The Lease, if there is one.
        down: Whether nobody gets an answer.
        now: The time in seconds.
        meanwhile: What happens while somebody sleeps.
    """

    def __init__(self) -> None:
        self.lease: Object | None = {"metadata": {"resourceVersion": "1"}}
        self.down = False
        self.now = 100.0
        self.meanwhile: Callable[[], Awaitable[None]] | None = None

    def candidate(self, identity: str) -> Lease:
        return Lease(self, "system", "op", identity, lambda: self.now, self.sleep)

    async def sleep(self, seconds: float) -> None:
        assert self.now < 200, "this goes on for ever"
        self.now += seconds
        if self.meanwhile is not None:
            await self.meanwhile()

    def holder(self) -> object:
        assert self.lease is not None
        return inner(self.lease, "spec.holderIdentity")

    def _answer(self) -> None:
        if self.down:
            raise UnavailableError(0, "", "connection refused", "lease")

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        self._answer()
        return copy.deepcopy(self.lease)

    async def replace(self, resource: Resource, body: Object) -> Object:
        self._answer()
        version = "metadata.resourceVersion"
        assert self.lease is not None
        if inner(body, version) != inner(self.lease, version):
            raise ConflictError(409, "Conflict", "changed", "update")
        new = copy.deepcopy(body)
        number = int(str(inner(new, version))) + 1
        cast("Object", new["metadata"])["resourceVersion"] = str(number)
        self.lease = new
        return copy.deepcopy(new)


async def test_the_first_takes_the_lease_and_another_waits_until_it_is_given_back() -> (
    None
):
    office = Office()
    first, second = office.candidate("first"), office.candidate("second")
    await first.acquire()
    assert office.holder() == "first"
    begun = office.now

    async def renewed_three_times() -> None:
        if office.now - begun < 6:
            await first.acquire()  # which renews what is held
        else:
            await first.release()

    office.meanwhile = renewed_three_times
    await second.acquire()
    assert office.holder() == "second"
    assert office.now - begun < 10
    assert inner(office.lease, "spec.leaseTransitions") == 1  # from one to another


async def test_a_lease_that_nobody_renews_is_taken_over_after_its_time() -> None:
    office = Office()
    await office.candidate("first").acquire()
    begun = office.now
    await office.candidate("second").acquire()
    assert office.holder() == "second"
    assert 15 <= office.now - begun <= 17


async def test_the_holder_stops_before_another_one_can_take_over() -> None:
    office = Office()
    first = office.candidate("first")
    await first.acquire()
    office.down = True
    begun = office.now
    with pytest.raises(LeaseLostError, match="could not be renewed"):
        await first.keep()
    assert 10 <= office.now - begun < 15


async def test_an_answer_in_time_keeps_the_lease() -> None:
    office = Office()
    first = office.candidate("first")
    await first.acquire()

    async def down_for_a_while() -> None:
        office.down = office.now % 10 < 6
        if office.now > 150:
            raise KeyboardInterrupt

    office.meanwhile = down_for_a_while
    with pytest.raises(KeyboardInterrupt):
        await first.keep()
    assert office.holder() == "first"


async def test_the_holder_stops_when_somebody_else_has_the_lease() -> None:
    office = Office()
    first = office.candidate("first")
    await first.acquire()
    assert office.lease is not None
    cast("Object", office.lease["spec"])["holderIdentity"] = "somebody"
    with pytest.raises(LeaseLostError, match="somebody has taken over"):
        await first.keep()


async def test_a_holder_whose_lease_is_removed_makes_none_and_stops() -> None:
    office = Office()
    first = office.candidate("first")
    await first.acquire()
    office.lease = None
    with pytest.raises(LeaseLostError):
        await first.keep()
    assert office.lease is None


async def test_what_belongs_to_another_is_not_given_back() -> None:
    office = Office()
    await office.candidate("first").acquire()
    await office.candidate("second").release()
    assert office.holder() == "first"


def lease(server: ApiServer, namespace: str, **spec: object) -> None:
    """Make a Lease as the chart does, or as somebody holds it."""
    body: Object = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "op", "namespace": namespace},
    }
    body |= {"spec": spec} if spec else {}
    server.kubectl("apply", "-f", "-", stdin=json.dumps(body))


@pytest.mark.apiserver
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL])
def test_of_two_operators_one_works_and_the_other_takes_over(
    apiserver: ApiServer, tmp_path: Path, by: signal.Signals
) -> None:
    space = f"pair-{by.name.lower()}"
    apiserver.kubectl("create", "namespace", space)
    lease(apiserver, space)
    kubeconfig = grant(apiserver, space, "pair")
    pair = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        arguments = ("--lease=op", f"--pod-namespace={space}", f"--namespace={space}")
        pair.append(OperatorProcess(kubeconfig, tmp_path / name, *arguments))
    one, other = pair
    try:
        one.start()
        eventually(lambda: one.metric("leader") == 1, "the first one works")
        other.start()
        assert other.metric("leader") == 0
        assert "looking after" not in other.told()
        code = one.stop(by)
        assert code == (0 if by is signal.SIGTERM else -signal.SIGKILL)
        eventually(lambda: other.metric("leader") == 1, "the other one takes over")
        resource = cluster("arena")
        resource["metadata"] = {"name": "arena", "namespace": space}
        apiserver.kubectl("apply", "-f", "-", stdin=json.dumps(resource))
        eventually(
            lambda: look(apiserver, space, "deployment", "arena-master"),
            "the other one does the work",
        )
        assert other.stop() == 0
    finally:
        for process in pair:
            process.stop(signal.SIGKILL)
        everything = "deployments,services,networkpolicies,poddisruptionbudgets,leases"
        for kinds in ("nanoclusters", everything):
            apiserver.kubectl("delete", kinds, "--all", "-n", space)


@pytest.mark.apiserver
def test_an_operator_that_stands_by_stops_at_once(
    apiserver: ApiServer, tmp_path: Path
) -> None:
    apiserver.kubectl("create", "namespace", "standby")
    lease(apiserver, "standby", holderIdentity="somebody", leaseDurationSeconds=600)
    kubeconfig = grant(apiserver, "standby", "waiter")
    arguments = ("--lease=op", "--pod-namespace=standby")
    process = OperatorProcess(kubeconfig, tmp_path, *arguments)
    try:
        process.start()
        assert process.stop() == 0
        assert "Traceback" not in process.told()
    finally:
        process.stop(signal.SIGKILL)
