"""The state of runs, actors and mailboxes as lines for the user. Pure: structs in, text out. Needs no colour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from actors.machines import proof_words
from actors.messages import AgentStatus, CheckStatus, MailboxItem, RunStatus, Usage
from actors.text import line, printable
from actors.wire.encoding import to_json
from shell import host_lines, spending
from supervisor.control.protocol import ActorReport, MailboxReport, Report, Traced

TASK_WIDTH = 100


def duration(ms: int) -> str:
    """Milliseconds for the user: 340 ms, 12 s, 4 m 5 s, 3 h 12 m."""
    if ms < 1_000:
        return f"{max(0, ms)} ms"
    seconds = ms // 1_000
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3_600:
        return f"{seconds // 60} m {seconds % 60} s"
    return f"{seconds // 3_600} h {seconds % 3_600 // 60} m"


def counted(number: int, what: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Left-aligned, two blanks between columns; the last one is as long as it is. A cell is one printable line."""
    rows = [[line(cell) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]) - 1)] if rows else []
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    ]


def report_lines(report: Report, *, now_ms: int, state: str) -> list[str]:
    """The output of `status`. `state` is the manifest's, for a run whose journal has none."""
    unknown = state or ("input-required" if report.question else "starting")
    stands = _stands(report.status, gap="  ") if report.status else unknown
    if not report.root_pid:
        stands += " (not running)"
    lines = [f"run {report.run_id}  {stands}"]
    facts = []
    if report.status is not None:
        facts.append(("task", _first_line(report.status.task)))
        if report.status.proof is not None:
            facts += [("proved", each) for each in proof_words.lines(report.status.proof)]
    question = report.question or (report.status.question if report.status is not None else "")
    if question:
        facts.append(("question", question))
    if report.check is not None:
        facts.append(("check", check_line(report.check, now_ms=now_ms)))
    if report.status is not None and report.status.findings:
        still_open = sum(each.open for each in report.status.findings)
        facts.append(("findings", f"{still_open} open of {len(report.status.findings)}"))
    if report.status is not None and report.status.budgets:
        facts.append(("budget", ", ".join(map(spending.budget, report.status.budgets))))
    facts += [("host", each) for each in host_lines.in_status(report.hosts, now_ms=now_ms)]
    if report.worktree:
        facts.append(("worktree", report.worktree))
    facts.append(("files", report.directory))
    if report.root_pid:
        since = duration(now_ms - report.started_at_ms)
        watching = f", {report.consoles} attached" if report.consoles else ""
        facts.append(("root", f"process {report.root_pid} for {since}{watching}"))
    if report.dead_letters:
        facts.append(("dead letters", f"{report.dead_letters}: mailbox ACTOR shows them"))
    facts += [("note", problem) for problem in report.problems]
    lines += [f"  {each}" for each in columns(facts)]
    if report.root_pid:
        lines += [f"  {each}" for each in actor_lines(report.actors, now_ms=now_ms)]
    lines += [f"  {each}" for each in cost_lines(report.agents, report)]
    return lines


def check_line(check: CheckStatus, *, now_ms: int) -> str:
    """The check that runs: which one, for how long, and its last line."""
    which = f"{check.number} of {check.of}: " if check.of > 1 else ""
    said = f": {check.line}" if check.line else ""
    return f"{which}{_first_line(check.command)} for {duration(now_ms - check.since_ms)}{said}"


def _first_line(text: str) -> str:
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return first if len(first) <= TASK_WIDTH else f"{first[:TASK_WIDTH]}..."


def actor_lines(actors: Iterable[ActorReport], *, now_ms: int) -> list[str]:
    """One line per actor: its state, what it is busy with and for how long, its last event, its mailbox."""
    rows = []
    for actor in actors:
        doing = _doing(actor, now_ms)
        counts = [f"{actor.mailbox} waiting"] if actor.mailbox else []
        counts += [counted(actor.restarts, "restart")] if actor.restarts else []
        rows.append([actor.name, actor.state, f"pid {actor.pid}" if actor.pid else "", "; ".join([*counts, *doing])])
    return columns(rows)


def _doing(actor: ActorReport, now_ms: int) -> list[str]:
    found = []
    if actor.why:
        found.append(actor.why)
    if actor.doing:
        found.append(f"{actor.doing} for {duration(now_ms - actor.doing_since_ms)}")
    if actor.last_event and actor.state == "busy":
        first = actor.last_event.splitlines()[0]
        found.append(f"{duration(now_ms - actor.last_event_at_ms)} ago: {first[:70]}")
    return found


def cost_lines(agents: Iterable[AgentStatus], report: Report | None = None) -> list[str]:
    """Tokens and money by agent, and in total. `report`: of their run, which knows prices and what runs."""
    agents = list(agents)
    if not agents:
        return []
    usages = [spending.of_agent(agent, report) for agent in agents]
    rows = [
        [agent.label, counted(agent.turns, "turn"), *usage_cells(usage), agent.account]
        for agent, usage in zip(agents, usages, strict=True)
    ]
    total = spending.together(usages)
    rows.append(["total", counted(sum(agent.turns for agent in agents), "turn"), *usage_cells(total), ""])
    return columns(rows)


def usage_cells(usage: Usage) -> list[str]:
    """The cells of a usage: tokens in, tokens out, money."""
    given, got = (spending.tokens(amount, usage) for amount in (usage.input_tokens, usage.output_tokens))
    return [f"{given} tokens in", f"{got} out", spending.money(usage)]


def finding_lines(report: Report) -> list[str]:
    """The findings of the reviews: open ones first; by whom, in which round, and what became of them."""
    from actors.machines import findings  # imported here: `status` only counts them
    from actors.machines.review_answer import words

    labels = {agent.role: agent.label for agent in report.agents}
    found = report.status.findings if report.status is not None else ()
    return columns(
        [each.id, findings.state_of(each), labels.get(each.by, each.by), f"round {each.last_round}", words(each)]
        for each in found
    )


def mailbox_lines(report: MailboxReport, *, now_ms: int, stacks: bool = False) -> list[str]:
    """Messages: waiting, in the handler, handled last; and dead letters."""
    doing = f": {report.doing} for {duration(now_ms - report.doing_since_ms)}" if report.doing else ""
    lines = [f"{report.actor} ({report.state}{doing})"]
    lines += _items("waiting", report.waiting)
    lines += _items("handling", [report.handling] if report.handling else [], "for")
    lines += _items("handled", report.handled)
    letters = [
        [
            f"{duration(now_ms - each.at_ms)} ago",
            each.kind,
            f"{each.sender} -> {each.recipient}",
            f"{each.reason}{'; retried' if each.kept else ''}",
        ]
        for each in report.dead_letters
    ]
    lines.append(f"  dead letters: {len(letters) or 'none'}")
    lines += [f"    {line}" for line in columns(letters)]
    if stacks and report.stacks:
        lines += ["  stacks:", *(f"    {line}" for line in report.stacks.splitlines())]
    return lines


def _items(title: str, items: Sequence[MailboxItem], ago: str = "") -> list[str]:
    if not items:
        return [f"  {title}: nothing"]
    rows = [
        [f"{ago} {duration(each.age_ms)}" if ago else f"{duration(each.age_ms)} ago", each.kind, f"from {each.sender}"]
        for each in items
    ]
    return [f"  {title}: {len(items)}", *(f"    {line}" for line in columns(rows))]


def transcript_line(line: dict[str, object]) -> str:
    """A line of transcript.jsonl for the user. Further lines of a text are indented below it."""
    return printable(_transcript_text(line)).replace("\n", "\n" + " " * len("hh:mm:ss "))


def _transcript_text(line: dict[str, object]) -> str:
    at = str(line.get("at", "")).replace("T", " ")[11:19]
    if "from" in line:
        return f"{at} {line['from']} -> {line.get('to')}: {line.get('message')}"
    facts = {key: value for key, value in line.items() if key not in ("at", "kind")}
    return f"{at} {line.get('kind', '?')!s:<7} {' '.join(str(value) for value in facts.values()) or to_json(line)}"


def trace_line(traced: Traced) -> str:
    """One message, as the router saw it."""
    marks = [f"attempt {traced.attempt}"] if traced.attempt > 1 else []
    marks += ["answer"] if traced.answers else []
    marks += [f"not delivered: {traced.lost}"] if traced.lost else []
    marks += [traced.body] if traced.body else []
    facts = f"{traced.size} bytes, {traced.latency_ms} ms"
    return f"{traced.sender} -> {traced.recipient} {traced.kind} ({', '.join([facts, *marks])})"


def _stands(status: RunStatus, gap: str = ": ") -> str:
    """The status line of a run; begins with the state when the run is over."""
    return status.line if status.line.startswith(f"{status.state}:") else f"{status.state}{gap}{status.line}"


def toolbar(report: Report | None, *, now_ms: int, width: int) -> str:
    """Lines below the prompt: state and iteration; each actor, tokens and cost. Two, if the terminal is wide enough."""
    if report is None:
        return " the run is starting\n"
    stands = _stands(report.status) if report.status is not None else "starting"
    if report.question:
        stands = f"input-required: {report.question}"
    elif report.status is not None and report.status.question:
        stands += " (/help, /status: a command)"
    if report.check is not None:
        stands += f" ({line(check_line(replace(report.check, line=''), now_ms=now_ms))})"
    parts = []
    for actor in reversed(report.actors):  # the agents' first
        busy = f" {duration(now_ms - actor.doing_since_ms)}" if actor.state == "busy" else ""
        parts.append(f"{actor.name} {actor.state}{busy}")
    spent = spending.of_run(report)
    tokens = spending.tokens(spent.input_tokens + spent.output_tokens, spent)
    parts.append(f"{tokens} tokens {spending.money(spent)}")
    parts += [spending.budget(each) for each in (report.status.budgets if report.status is not None else ())]
    return "\n".join(
        [*_within(f"run {report.run_id} | {stands}".split(" "), " ", width), *_within(parts, " | ", width)]
    )


def _within(parts: Iterable[str], between: str, width: int) -> list[str]:
    """Joins parts into as few lines as the width allows; a part that is too long gets a line of its own."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(between) + len(part) <= width:
            lines[-1] += between + part
        else:
            lines.append(f" {part}")
    return lines
