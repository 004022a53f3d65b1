from __future__ import annotations

from shell import host_lines
from supervisor.control.protocol import ActorReport, HostReport
from supervisor.hosts import placing
from tests.actors.test_hosts import BIG
from tests.shell.test_tables import NOW, agent, report

LINKED = HostReport(
    name="big", actors=["reviewer"], state="connected", since_ms=NOW - 60_000, round_trip_ms=0.6,
    failure="host big: the program there ended with 255", failed_at_ms=NOW - 300_000,
)  # fmt: skip
LOST = HostReport(name="far", actors=[], state="given-up", since_ms=NOW - 5_000, why="it does not answer")


def test_hosts_says_of_each_how_its_link_is_what_runs_there_and_its_last_failure():
    actors = [
        ActorReport(name="worker", state="running", pid=5),
        ActorReport(name="reviewer", state="busy", pid=77, doing="review turn"),
    ]
    agents = [agent(), agent("claude", role="reviewer")]
    text = host_lines.of_report(report(hosts=[LINKED, LOST], actors=actors, agents=agents), now_ms=NOW)
    assert text == [
        "big  connected for 1 m, 0.6 ms there and back",
        "  reviewer  claude  busy, pid 77  review turn",
        "  last failure 5 m ago: host big: the program there ended with 255",
        "far  given up for 5 s: it does not answer",
        "home  worker (codex), the run, its bridge and its journal",
    ]


def test_a_run_without_hosts_is_at_home():
    assert host_lines.of_report(report(agents=[agent()]), now_ms=NOW) == [
        "home  worker (codex), the run, its bridge and its journal"
    ]


def test_status_shows_the_hosts_that_matter_to_the_run():
    idle = HostReport(name="other", actors=[], state="idle", since_ms=0)
    assert host_lines.in_status([LINKED, LOST, idle], now_ms=NOW) == [
        "big: reviewer, connected for 1 m, 0.6 ms there and back",
        "far: given up for 5 s: it does not answer",
    ]


def test_a_host_of_the_configuration_is_known_before_anybody_needs_it():
    found = placing.reports({"reviewer": "big"}, {"big": BIG, "other": BIG}, [LINKED])
    assert [(each.name, each.actors, each.state) for each in found] == [
        ("big", ["reviewer"], "connected"),
        ("other", [], "idle"),
    ]
