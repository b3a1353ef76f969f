"""Every alert fires when it should, and has a runbook.

Each does so twice: by series that promtool is given, and for real, in a cluster or an
operator that is brought into trouble.  The rules are those that are shipped, with
nothing changed but how long the trouble has to last.
"""

from __future__ import annotations

import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from charts.monitoring import files
from charts.monitoring.alerts import ALERTS

from .hamlet import SHORT, Hamlet
from .prometheus import PATIENCE, program, prometheus, shipped, sooner
from .town import Town, until

PAGE = Path(__file__).parents[2] / "docs" / "alerts.md"
OF = 'namespace="live",nanocluster="chat"'
DAY = 86_400
NODE = f'{OF},instance="a"'
OTHER = f'{OF},instance="b"'
INFO = f'nano_node_info{{{NODE},role="gate"}}'
WAITING = 'nanocluster_operator_queue_oldest_seconds{instance="o"}'

TOWN = {
    "NanoNodeNotReady",
    "NanoMasterUnreachable",
    "NanoMembersDisagree",
    "NanoRequestsFail",
    "NanoHandlerExceptions",
    "NanoAnswersSlow",
    "NanoEventLoopLate",
    "NanoMessagesDropped",
    "NanoClientsSlow",
}
"""What fires in the cluster of :mod:`.town`."""

PROCESSES = {
    "NanoNoGateReady",
    "NanoPeerUnreachable",
    "NanoNodeBusy",
    "NanoStrangers",
    "NanoCertificateExpires",
}
"""What fires in that of :mod:`.hamlet`, whose nodes can be frozen and killed."""

OPERATOR = {"NanoIssuedCertificateExpires", "NanoOperatorStuck", "NanoOperatorFails"}
"""What fires in ``tests/controller/test_operator_alerts.py``."""

MINUTES = "[5m]"
WINDOW = "[5s]"
"""In place of :data:`MINUTES` for NanoNodeBusy.

A share of processor time over five minutes takes nearly all of them to be high.
"""

BUSY = {
    "NanoAnswersSlow",
    "NanoEventLoopLate",
    "NanoMasterUnreachable",
    "NanoNodeBusy",
    "NanoPeerUnreachable",
}
"""What a machine that does something else makes fire even under a light load."""


@dataclass(frozen=True, slots=True)
class Story:
    """Series for an alert, one value a minute for an hour and a half.

    Attributes:
        bad: In which it fires.
        good: In which it does not.
    """

    bad: dict[str, str]
    good: dict[str, str]


def lag(late: int) -> dict[str, str]:
    """Return a histogram in which each minute 100 of 100 + *late* are in time."""
    name = f"nano_loop_lag_seconds_bucket{{{NODE},le="
    return {
        f'{name}"0.01"}}': "0+100x90",
        f'{name}"1.0"}}': f"0+{100 + late}x90",
        f'{name}"+Inf"}}': f"0+{100 + late}x90",
    }


def answers(late: int) -> dict[str, str]:
    """Return the same of answers."""
    name = f'nano_answer_seconds_bucket{{{NODE},route="Room.say",le='
    return {
        f'{name}"0.01"}}': "0+100x90",
        f'{name}"5.0"}}': f"0+{100 + late}x90",
        f'{name}"+Inf"}}': f"0+{100 + late}x90",
    }


def certificate(ends: int, life: int) -> dict[str, str]:
    """Return the figures of a certificate that ends when it does; it is 1970."""
    labels = f'{{{NODE},listener="cluster"}}'
    return {
        f"nano_certificate_expiry_seconds{labels}": f"{ends}x90",
        f"nano_certificate_life_seconds{labels}": f"{life}x90",
    }


def issued(left: int) -> dict[str, str]:
    """Return those of one of the operator's, which it makes for a month."""
    labels = '{namespace="live",name="chat",certificate="nodes"}'
    return {
        f"nanocluster_operator_certificate_seconds{labels}": f"{left}-60x90",
        f"nanocluster_operator_certificate_life_seconds{labels}": f"{30 * DAY}x90",
    }


def of_processes(metric: str, more: str, *values: str) -> dict[str, str]:
    """Return a metric of a gate that has as many processes as there are *values*."""
    return {
        f'{metric}{{{NODE},process="{number}"{more}}}': value
        for number, value in enumerate(values, 1)
    }


STORIES = {
    "NanoNoGateReady": Story(
        {f"nano_ready{{{NODE}}}": "0x90", INFO: "1x90"},
        {
            f"nano_ready{{{NODE}}}": "0x90",
            f"nano_ready{{{OTHER}}}": "1x90",
            INFO: "1x90",
            f'nano_node_info{{{OTHER},role="gate"}}': "1x90",
        },
    ),
    "NanoNodeNotReady": Story(
        {
            f"nano_ready{{{NODE}}}": "0x90",
            f"nano_draining{{{NODE}}}": "0x90",
            f"nano_ready{{{OTHER}}}": "0x90",
            f"nano_draining{{{OTHER}}}": "1x90",
        },
        {
            f"nano_ready{{{NODE}}}": "1x90",
            f"nano_ready{{{OTHER}}}": "0x90",
            f"nano_draining{{{OTHER}}}": "1x90",
        },
    ),
    "NanoMasterUnreachable": Story(
        {f"nano_master_reachable{{{NODE}}}": "0x90"},
        {f"nano_master_reachable{{{NODE}}}": "1x90"},
    ),
    "NanoPeerUnreachable": Story(
        {
            # what its grace is over for is suspect and unlinked for seconds only
            f'nano_peers{{{NODE},state="suspect"}}': "1 0x89",
            f'nano_peers{{{NODE},state="gone"}}': "0 1x89",
        },
        {
            f'nano_peers{{{NODE},state="suspect"}}': "0x90",
            f'nano_peers{{{NODE},state="linked"}}': "3x90",
        },
    ),
    "NanoMembersDisagree": Story(
        {
            f'nano_members{{{NODE},role="gate"}}': "2x90",
            f'nano_members{{{OTHER},role="gate"}}': "1x90",
        },
        {
            f'nano_members{{{NODE},role="gate"}}': "2x90",
            f'nano_members{{{OTHER},role="gate"}}': "2x90",
        },
    ),
    "NanoRequestsFail": Story(
        {
            f'nano_failures_total{{{NODE},status="503"}}': "0+10x90",
            f'nano_messages_total{{{NODE},type="request",route="a"}}': "0+100x90",
        },
        {
            f'nano_failures_total{{{NODE},status="503"}}': "0+4x90",
            f'nano_failures_total{{{NODE},status="404"}}': "0+50x90",
            f'nano_messages_total{{{NODE},type="request",route="a"}}': "0+100x90",
        },
    ),
    "NanoHandlerExceptions": Story(
        {f'nano_handler_exceptions_total{{{NODE},route="Room.say"}}': "0+1x90"},
        {f'nano_handler_exceptions_total{{{NODE},route="Room.say"}}': "7x90"},
    ),
    "NanoAnswersSlow": Story(answers(late=5), answers(late=0)),
    "NanoEventLoopLate": Story(lag(late=5), lag(late=0)),
    "NanoNodeBusy": Story(
        {f"process_cpu_seconds_total{{{NODE}}}": "0+57x90", INFO: "1x90"},
        {f"process_cpu_seconds_total{{{NODE}}}": "0+50x90", INFO: "1x90"},
    ),
    "NanoMessagesDropped": Story(
        {
            f'nano_dropped_total{{{NODE},stage="forward",reason="no-member"}}': (
                "0+60x90"
            )
        },
        {f'nano_dropped_total{{{NODE},stage="push",reason="superseded"}}': "0+60x90"},
    ),
    "NanoClientsSlow": Story(
        {
            f'nano_slow_clients{{{NODE},listener="ws"}}': "6x90",
            f'nano_connections{{{NODE},listener="ws"}}': "100x90",
        },
        {
            f'nano_slow_clients{{{NODE},listener="ws"}}': "5x90",
            f'nano_connections{{{NODE},listener="ws"}}': "100x90",
        },
    ),
    "NanoStrangers": Story(
        {f'nano_cluster_refusals_total{{{NODE},reason="no-certificate"}}': "0+60x90"},
        {f'nano_cluster_refusals_total{{{NODE},reason="no-certificate"}}': "60x90"},
    ),
    "NanoCertificateExpires": Story(
        certificate(ends=500_000, life=90 * DAY),
        certificate(ends=900_000, life=90 * DAY),
    ),
    "NanoIssuedCertificateExpires": Story(issued(left=5 * DAY), issued(left=9 * DAY)),
    "NanoOperatorStuck": Story(
        # after five minutes of waiting the operator is restarted, or a look is given
        # up after two
        {WAITING: " ".join(["0+60x5"] * 16)},
        {WAITING: " ".join(["0+40x3"] * 24)},
    ),
    "NanoOperatorFails": Story(
        {'nanocluster_operator_reconciles_total{result="failed"}': "0+1x90"},
        {
            'nanocluster_operator_reconciles_total{result="failed"}': "3x90",
            'nanocluster_operator_reconciles_total{result="done"}': "0+9x90",
        },
    ),
}

GATE = ',role="gate"'

MORE = {
    "the gates are no more": (
        "NanoNoGateReady",
        Story(
            {
                f"nano_ready{{{NODE}}}": "1x60 stale",
                INFO: "1x60 stale",
                f'nano_node_info{{{OTHER},role="master"}}': "1x90",
            },
            {  # there never was one of ours
                f'nano_node_info{{{OTHER},role="master"}}': "1x90",
                f"nano_ready{{{OTHER}}}": "1x90",
            },
        ),
    ),
    "a gate has two processes": (
        "NanoNoGateReady",
        Story(
            of_processes("nano_ready", "", "0x90", "0x90")
            | of_processes("nano_node_info", GATE, "1x90", "1x90"),
            of_processes("nano_ready", "", "1x90", "0x90")
            | of_processes("nano_node_info", GATE, "1x90", "1x90"),
        ),
    ),
    "one of two processes is busy": (
        "NanoNodeBusy",
        Story(
            of_processes("process_cpu_seconds_total", "", "0+57x90", "0+5x90")
            | of_processes("nano_node_info", GATE, "1x90", "1x90"),
            of_processes("process_cpu_seconds_total", "", "0+50x90", "0+50x90")
            | of_processes("nano_node_info", GATE, "1x90", "1x90"),
        ),
    ),
    "two processes have a list each": (
        "NanoMembersDisagree",
        Story(
            of_processes("nano_members", GATE, "2x90", "3x90")
            | {f"nano_members{{{OTHER}{GATE}}}": "3x90"},
            of_processes("nano_members", GATE, "3x90", "3x90")
            | {f"nano_members{{{OTHER}{GATE}}}": "3x90"},
        ),
    ),
    "a certificate that lives for days": (
        "NanoCertificateExpires",
        Story(
            certificate(ends=DAY // 2, life=4 * DAY),
            certificate(ends=DAY + 5400, life=4 * DAY),
        ),
    ),
}
"""What else makes an alert fire, or must not."""


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program("promtool"), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_alert_has_a_story_and_a_runbook() -> None:
    names = [alert.name for alert in ALERTS]
    assert [rule["alert"] for rule in shipped()] == names
    assert set(STORIES) == set(names)
    assert {name for name, _ in MORE.values()} < set(names)
    assert sorted([*TOWN, *PROCESSES, *OPERATOR]) == sorted(names)  # all, once each
    assert re.findall(r"^## (.*)$", PAGE.read_text(), re.MULTILINE) == names
    for rule in shipped():
        page, anchor = rule["annotations"]["runbook"].split("#")
        assert (page, anchor) == ("docs/alerts.md", rule["alert"].lower())
        assert rule["labels"]["severity"] in {"critical", "warning"}


@pytest.mark.process
def test_promtool_has_nothing_against_the_file() -> None:
    done = promtool("check", "rules", str(files.RULES))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"SUCCESS: {len(ALERTS)} rules found" in done.stdout


@pytest.mark.process
@pytest.mark.parametrize(
    ("name", "story"),
    [*STORIES.items(), *MORE.values()],
    ids=[*STORIES, *MORE],
)
def test_it_fires_when_it_should_and_not_otherwise(
    tmp_path: Path, name: str, story: Story
) -> None:
    (rule,) = [rule for rule in shipped() if rule["alert"] == name]
    queries: dict[str, str] = {"bad": "1", "good": "0"}
    for case, number in queries.items():
        series = story.bad if case == "bad" else story.good
        firing = f'count(ALERTS{{alertname="{name}",alertstate="firing"}})'
        expected = [{"labels": "{}", "value": 1}] if number == "1" else []
        test = {
            "rule_files": [str(files.RULES)],
            "evaluation_interval": "1m",
            "tests": [
                {
                    "interval": "1m",
                    "input_series": [
                        {"series": key, "values": values}
                        for key, values in series.items()
                    ],
                    "promql_expr_test": [
                        # not before its time
                        {"expr": firing, "eval_time": "0m", "exp_samples": []},
                        {"expr": firing, "eval_time": "85m", "exp_samples": expected},
                    ],
                }
            ],
        }
        path = tmp_path / f"{case}.yaml"
        path.write_text(yaml.safe_dump(test))
        done = promtool("test", "rules", str(path))
        assert done.returncode == 0, (case, rule["expr"], done.stdout + done.stderr)


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_they_fire_in_a_cluster_in_trouble_and_not_under_load(
    tmp_path: Path,
) -> None:
    town = Town()
    async with town.cluster, prometheus(tmp_path, sooner(shipped())) as prom:
        addresses = list(town.addresses)
        prom.scrape(addresses)

        async def is_loaded() -> bool:
            messages = await prom.query("sum(nano_messages_total)")
            return await prom.up() == len(addresses) and sum(messages.values()) > 200

        async with town.load():
            await until(is_loaded, PATIENCE)
            assert (await prom.firing()).keys() <= BUSY
        async with town.trouble():
            prom.scrape(town.addresses)
            await prom.until_fired(TOWN)


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_they_fire_when_nodes_freeze_die_and_are_knocked_at(
    tmp_path: Path,
) -> None:
    rules = [
        rule | {"expr": rule["expr"].replace(MINUTES, WINDOW)}
        if rule["alert"] == "NanoNodeBusy"
        else rule
        for rule in shipped()
    ]
    hamlet = Hamlet(tmp_path)
    async with hamlet.running(), prometheus(tmp_path, sooner(rules)) as prom:
        prom.scrape(hamlet.observe.values())

        async def is_whole() -> bool:
            ready = await prom.query("sum(nano_ready)")
            peers = await prom.query("sum by (state) (nano_peers) > 0")
            linked = {(("state", "linked"),): 12.0}  # three of each but the master
            return {*ready.values()} == {5} and peers == linked

        async def is_looked_at() -> bool:
            looks = await prom.query("min(count_over_time(nano_ready[10s]))")
            return min(looks.values(), default=0) >= 6

        await until(is_whole, 2 * PATIENCE)
        await until(is_looked_at, PATIENCE)
        assert (await prom.firing()).keys() <= BUSY
        hamlet.certify(SHORT)
        async with hamlet.strangers(), hamlet.grinding() as idle:
            hamlet.signal(idle, signal.SIGSTOP)
            await prom.until_fired(PROCESSES - {"NanoNoGateReady"})

        async def is_past_its_grace() -> bool:
            return bool(await prom.query("nano_peers{state='gone'} > 0"))

        await until(is_past_its_grace, PATIENCE)
        assert "NanoPeerUnreachable" in await prom.firing()
        hamlet.signal(idle, signal.SIGCONT)
        await until(is_whole, 2 * PATIENCE)
        hamlet.signal("gate", signal.SIGKILL)
        await prom.until_fired({"NanoNoGateReady"})
        hamlet.start("gate")

        async def is_well() -> bool:
            return "NanoNoGateReady" not in await prom.firing()

        await until(is_well, 2 * PATIENCE)
