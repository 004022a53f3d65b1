"""The chaos: whole runs whose processes are killed, stopped, cut off and starved of disk, of one seed or of many.

A run gets a plan of strikes and faults. A strike comes at a point of the protocol (what the run shows), or a random
while after it. A fault of the model (an HTTP status, a dropped connection) comes before a step of the scenario. See
chaos_run.py.

Rows of the table: what was hit, and with `model:` what the model did instead of answering. `recovered` are the hits in
runs with which nothing is wrong: completed, nothing lost, repeated or left behind, no iteration spent on a failed turn.
`lost` and `repeated` are prompts, mails and verdicts; `orphans` are processes that outlived their root. They are
counted at the end of a run, so each row has those of the runs in which it was hit. Seconds are from the kill until the
actor that was hit is ready again (of an agent: until its session is open again), with the restart's back-off in it when
the same actor was hit shortly before.

A signal, or the end of the terminal, ends all worlds, and the table shows the results until then. So does kill -9 of
the campaign, without a table.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path

from scripts import chaos_hosts, chaos_trouble
from scripts.chaos_plan import GROUPS, planned
from scripts.chaos_players import Player
from scripts.chaos_report import Report
from scripts.chaos_run import play
from scripts.chaos_trouble import TroubleReport
from tests.lab import ssh_hosts, third_party
from tests.lab.world import Interrupted, orderly_end


def campaign(options: argparse.Namespace) -> Iterator[tuple[Player, Report, Path | None]]:
    """Yields runs as they end, `jobs` at a time, until there are enough hits. Closed early, it ends the running
    players.
    """
    left = shares(options.kills, options.seeds)
    last = dict.fromkeys(left, 0)
    playing: dict[Connection, Player] = {}

    def start(seed: int, number: int, limit: int) -> None:
        one = partial(play, seed, number, options.agents, limit, keep=options.keep)
        if options.hosts:
            one = partial(chaos_hosts.play, seed, number, options.hosts, limit, keep=options.keep)
        player = Player(seed, number, limit, one)
        playing[player.report] = player

    try:
        if options.run is not None:
            start(options.seeds[0], options.run, options.kills)
            left = dict.fromkeys(left, 0)
        while playing or any(count > 0 for count in left.values()):
            while len(playing) < options.jobs and (seed := next((s for s in left if left[s] > 0), None)) is not None:
                last[seed] += 1
                limit = min(left[seed], strikes_of(seed, last[seed], options.hosts))
                left[seed] -= limit
                start(seed, last[seed], limit)
            for ended in wait(list(playing)):
                player = playing.pop(ended)
                report, base = player.result()
                if report.well and options.run is None:  # not every strike finds a victim
                    left[player.seed] += player.limit - len(report.strikes)
                yield player, report, base
    finally:
        for player in playing.values():
            player.end()


def strikes_of(seed: int, number: int, hosts: int | None) -> int:
    """How many strikes are planned for this run."""
    return len(chaos_hosts.planned(seed, number, hosts).strikes if hosts else planned(seed, number)[0])


def trouble_campaign(options: argparse.Namespace) -> Iterator[tuple[Player, TroubleReport, Path | None]]:
    """Yields runs with troubles as they end, `jobs` at a time. Closed early, it ends the running players."""
    due = [(seed, number) for number in range(1, options.runs + 1) for seed in options.seeds][: options.runs]
    if options.run is not None:
        due = [(options.seeds[0], options.run)]
    playing: dict[Connection, Player] = {}
    try:
        while playing or due:
            while len(playing) < options.jobs and due:
                seed, number = due.pop(0)
                player = Player(seed, number, 0, partial(chaos_trouble.play, seed, number, keep=options.keep))
                playing[player.report] = player
            for ended in wait(list(playing)):
                player = playing.pop(ended)
                report, base = player.result()
                if not isinstance(report, TroubleReport):  # its player has died
                    names = chaos_trouble.planned(player.seed, player.number).names
                    report = TroubleReport(troubles=report.troubles, names=names)
                yield player, report, base
    finally:
        for player in playing.values():
            player.end()


def shares(kills: int, seeds: list[int]) -> dict[int, int]:
    """Splits the hits among the seeds: as equally as possible, the first ones get one more."""
    each, more = divmod(kills, len(seeds))
    return {seed: each + (place < more) for place, seed in enumerate(seeds)}


# --- what is shown ----------------------------------------------------------------------------------------------


def show_table(reports: list[Report]) -> None:
    """Prints a row per role and fault, a column per point of the protocol, then the outcome."""
    cells: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    times: dict[str, list[float]] = defaultdict(list)
    recovered: dict[str, int] = defaultdict(int)
    for report in reports:
        for hit in (*report.strikes, *report.faults):
            cells[hit.row][hit.group] += 1
            recovered[hit.row] += report.well
        for strike in report.strikes:
            if strike.recovery_s is not None:
                times[strike.row].append(strike.recovery_s)
    print(f"| hit | {' | '.join(GROUPS)} | hits | recovered | lost | repeated | orphans | p50 s | p95 s |")
    print("| --- |" + " ---: |" * (len(GROUPS) + 7))
    for row in sorted(cells, key=lambda name: (name.startswith("model:"), "(" in name, name)):
        counts = " | ".join(str(cells[row][group] or "") for group in GROUPS)
        harm = harms([each for each in reports if any(hit.row == row for hit in (*each.strikes, *each.faults))])
        numbers = " | ".join(map(str, (sum(cells[row].values()), recovered[row], *harm)))
        print(f"| {row} | {counts} | {numbers} | {percentiles(times[row])} |")
    totals = " | ".join(str(sum(cells[row][group] for row in cells)) for group in GROUPS)
    everything = [second for row in times.values() for second in row]
    every = sum(sum(row.values()) for row in cells.values())
    numbers = " | ".join(map(str, (every, sum(recovered.values()), *harms(reports))))
    print(f"| all | {totals} | {numbers} | {percentiles(everything)} |")
    print(f"\n{summary(reports)}", flush=True)


def summary(reports: list[Report]) -> str:
    """A summary in one line. Kills, stops and full disks count as hits; the model's faults are counted separately."""
    hits, faults = sum(len(each.strikes) for each in reports), sum(len(each.faults) for each in reports)
    well = [report for report in reports if report.well]
    hits_well, faults_well = sum(len(each.strikes) for each in well), sum(len(each.faults) for each in well)
    lost, repeated, orphans = harms(reports)
    return (
        f"{len(reports)} runs, {hits} hits, {hits_well} recovered; {faults} faults of the model, "
        f"{faults_well} recovered; {lost} lost, {repeated} repeated, {orphans} orphans"
    )


def harms(reports: list[Report]) -> tuple[int, int, int]:
    """The numbers of lost, repeated and orphaned items in these runs."""
    return (
        sum(report.lost for report in reports),
        sum(report.repeated for report in reports),
        sum(report.orphans for report in reports),
    )


def percentiles(seconds: list[float]) -> str:
    """The 50th and the 95th percentile."""
    if not seconds:
        return " | "
    ordered = sorted(seconds)
    return f"{statistics.median(ordered):.2f} | {ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]:.2f}"


def show_run(player: Player, report: Report) -> None:
    """Prints a line for the run, and what is wrong."""
    hits = ", ".join(f"{hit.row}@{hit.group}" for hit in (*report.strikes, *report.faults))
    word = "ok" if report.well else "NOT WELL"
    count = len(report.strikes)
    print(f"seed {player.seed}, run {player.number}: {word}, {count} hits, {report.seconds:.0f} s: {hits}", flush=True)
    for trouble in report.troubles:
        print(f"    {trouble}", flush=True)


def show_troubled_run(player: Player, report: TroubleReport) -> None:
    """Prints a line for the run, and what is wrong."""
    kills = "".join(f", {hit.row} killed@{hit.group}" for hit in report.strikes)
    word = "ok" if report.well else "NOT WELL"
    place = f"seed {player.seed}, run {player.number}"
    print(f"{place}: {word}, {report.seconds:.0f} s: {'; '.join(report.names)}{kills}: {report.end[:200]}", flush=True)
    for trouble in report.troubles:
        print(f"    {trouble}", flush=True)


def play_troubles(options: argparse.Namespace) -> int:
    """The campaign of troubles. Returns an exit status."""
    reports: list[TroubleReport] = []
    failures: list[str] = []
    status = 0
    try:
        with orderly_end(), closing(trouble_campaign(options)) as runs:
            for player, report, base in runs:
                reports.append(report)
                show_troubled_run(player, report)
                if not report.well:
                    again = f"scripts/chaos --trouble --seed {player.seed} --run {player.number} --keep"
                    failures.append(f"not well: its world: {base}; to play it again: {again}")
    except Interrupted as interrupted:  # the results so far still count
        status = int(interrupted.code or 0)
    chaos_trouble.show_table(reports)
    print("\n".join(failures), flush=True)
    return status or bool(failures)


def show_failures(failures: list[tuple[Player, Report, Path | None]], words: str) -> None:
    """Prints all failures at the end, each with its world and the command that plays it again."""
    for player, report, base in failures:
        again = f"scripts/chaos --seed {player.seed} --run {player.number} --kills {player.limit}"
        why = " ".join(report.troubles[0].split())
        print(f"not well: seed {player.seed}, run {player.number}: {why[:300]}")
        print(f"    its world: {base}; to play it again: {again} {words} --keep", flush=True)


# --- the command line -------------------------------------------------------------------------------------------


def seeds(text: str) -> list[int]:
    """`7`, `1-20` or `1-8,99`, each seed once."""
    found: dict[int, None] = {}
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not (first.isdecimal() and (last or first).isdecimal() and int(first) <= int(last or first)):
            raise argparse.ArgumentTypeError(f"{part!r} is no seed and no range of seeds: give one as 1-20")
        found |= dict.fromkeys(range(int(first), int(last or first) + 1))
    return list(found)


def pair(text: str) -> str:
    """`embedded`, `real`, or two names of real agents, such as `gemini,copilot`."""
    names = text.split(",")
    known = ("codex", "claude", *third_party.NAMES)
    if text not in {"embedded", "real"} and not (len(names) == 2 and all(name in known for name in names)):
        both = ", ".join(known)
        raise argparse.ArgumentTypeError(f"{text!r} is no pair of agents: give embedded, real, or two of {both}")
    if any(name in third_party.NAMES for name in names) and not third_party.is_installed(
        third_party.cache_folder(os.environ)
    ):
        raise argparse.ArgumentTypeError(f"{text} is not installed: run scripts/third-party")
    return text


def positive(text: str) -> int:
    """A number from 1."""
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")
    return int(text)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description="Kills whole runs at random and checks them.")
    parser.add_argument("--kills", type=positive, default=100, help="how many hits in all, over all seeds (100)")
    parser.add_argument(
        "--seeds",
        "--seed",
        type=seeds,
        default=[1],
        metavar="A-B",
        help="what the plans follow from (1): 7, 1-20, 1-8,99",
    )
    parser.add_argument(
        "--agents",
        type=pair,
        default="embedded",
        metavar="NAMES",
        help="embedded, real (codex and claude), or a worker and a reviewer such as gemini,copilot (embedded)",
    )
    parser.add_argument("--hosts", type=positive, help="place the agents on that many other hosts, and hit those too")
    parser.add_argument(
        "--trouble", action="store_true", help="runs that meet troubles, and a few kills; embedded agents"
    )
    parser.add_argument("--runs", type=positive, default=60, help="how many runs with --trouble, over all seeds (60)")
    parser.add_argument("--jobs", type=positive, default=1, help="how many runs side by side (1)")
    parser.add_argument("--keep", action="store_true", help="leave all worlds where they are")
    parser.add_argument("--run", type=positive, help="play only the run with this number, of one seed")
    options = parser.parse_args()
    if options.run is not None and len(options.seeds) > 1:
        parser.error(f"--run {options.run} is a run of one seed, and there are {len(options.seeds)}: give one --seed")
    if options.hosts and (options.trouble or options.agents != "embedded"):
        parser.error("--hosts is for the embedded agents: give neither --trouble nor --agents")
    if options.trouble and options.agents != "embedded":
        parser.error(f"--trouble plays the embedded agents, not {options.agents}: leave --agents out")
    if options.hosts and (reason := ssh_hosts.missing()):
        parser.error(f"--hosts is not possible here: {reason}")
    if not hasattr(resource, "prlimit"):
        print("[chaos] needs Linux: prlimit and /proc", file=sys.stderr)
        return 2
    if options.trouble:
        return play_troubles(options)
    reports: list[Report] = []
    failures: list[tuple[Player, Report, Path | None]] = []
    status = 0
    try:
        with orderly_end(), closing(campaign(options)) as runs:
            for player, report, base in runs:
                reports.append(report)
                if not report.well:
                    failures.append((player, report, base))
                show_run(player, report)
    except Interrupted as interrupted:  # the results so far still count
        status = int(interrupted.code or 0)
    show_table(reports)
    show_failures(failures, f"--hosts {options.hosts}" if options.hosts else f"--agents {options.agents}")
    return status or bool(failures)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
