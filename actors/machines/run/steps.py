"""The steps that a run takes: each puts it into a phase, with the jobs of that phase. Pure.

Steps look forward only: answers.py and review.py interpret answers, and call them.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from actors.machines import findings, prompts, proof_words
from actors.machines.prompts import Note
from actors.machines.run import gates, joblist, progress, proof
from actors.machines.run.commands import Notice
from actors.machines.run.jobs.base import Job
from actors.machines.run.jobs.hook import HookFacts, HookJob
from actors.machines.run.jobs.plan import PlanJob
from actors.machines.run.jobs.pull_request import Missing, PullRequestJob
from actors.machines.run.jobs.question import QuestionJob
from actors.machines.run.jobs.tree import TreeJob, TreeMoment
from actors.machines.run.jobs.turn import TurnJob, agent_label
from actors.machines.run.jobs.wait import WaitJob
from actors.machines.run.state import FINAL_PHASES, USER_IS_ASKED, Hold, Phase, RoundVerdict, RunState, taken_over
from actors.messages import Purpose
from actors.settings import Role, RunSettings, other


def begin(state: RunState) -> RunState:
    """The first step of a task; keeps of an earlier task only what makes ids unique, and the user's requests."""
    state = RunState(
        settings=state.settings,
        task=state.run.task,
        worked=state.worked,
        unkept=state.unkept,
        review_round=state.review_round,
        tasks_done=state.tasks_done,
        hold=state.hold,
        detail=state.detail,
        past=state.past,
        once=state.once,
        spent=state.spent,
        counted=state.counted,
        windows=state.windows,
        running=state.running,
        claims=state.claims,
        most_tokens=state.most_tokens,
        most_usd=state.most_usd,
        time_ms=state.time_ms,
    )
    if not state.task.strip():
        return ask_for_task(state)
    return plan(state) if state.run.needs_plan else start_iteration(state)


def ask_for_task(state: RunState) -> RunState:
    """An open-ended run waits for the user's next task. The last task is finished."""
    state = replace(joblist.drop(state, *state.jobs), phase=Phase.AWAITING_TASK)
    return joblist.add(
        state,
        QuestionJob(label="task", question="What is to be done next?" if state.tasks_done else "What is to be done?"),
    )


def begin_when_free(state: RunState) -> RunState:
    """A session runs one turn at a time, so the new task waits until the old one's turns have settled."""
    return replace(state, phase=Phase.CLEARING) if state.jobs else begin(state)


def plan(state: RunState, refused: str = "") -> RunState:
    """Asks the primary agent for PLAN.md; `refused`: why its last result is not a plan."""
    state = replace(state, phase=Phase.PLANNING)
    if state.run.asks_again and state.plan_before is None:
        return joblist.add(state, PlanJob(label="plan-before", ahead=True))
    prompt = prompts.plan(
        state.run.task, proof=state.run.proof, refused=refused, template=state.run.prompts.get("plan", "")
    )
    return turn(state, "plan", state.author, "plan", prompt)


def read_plan(state: RunState, phase: Phase) -> RunState:
    """Reads PLAN.md."""
    return joblist.add(replace(state, phase=phase), PlanJob(label="plan-reading"))


def start_iteration(state: RunState) -> RunState:
    """Starts the primary agent's turn, with all task and notes so far. A resume may have left no iteration for it."""
    if state.run.counts_at_start and state.iteration >= state.run.max_iterations:
        return out_of_iterations(state)
    if state.run.binds_to_tree and state.base is None:
        return take_tree(replace(state, phase=Phase.WORKING), "begin")
    if progress.wants_diagnosis(state):
        return diagnose(state)
    number = state.iteration + 1
    state = replace(state, phase=Phase.WORKING, iteration=number, worked=state.worked + 1, notes_sent=len(state.notes))
    return turn(state, f"iteration-{number}", state.author, "work", work_prompt(state))


def diagnose(state: RunState) -> RunState:
    """Asks the worker why there is no progress, instead of another iteration."""
    why = progress.why(state)
    state = say(replace(state, phase=Phase.WORKING), f"no progress: {why}; the worker is asked for a diagnosis")
    template = state.run.prompts.get("diagnosis", "")
    prompt = prompts.diagnosis(why, task=state.task, request=request(state), template=template)
    return turn(state, f"diagnosis-{state.worked}", state.author, "diagnosis", prompt)


def work_prompt(state: RunState, *, taken_over: bool = False) -> str:
    """The prompt of the current iteration. `taken_over`: for an agent that did not begin it."""
    run, peer_wrote = state.run, state.peer_wrote and not taken_over
    return prompts.iteration(
        state.iteration,
        of=run.max_iterations,
        task=state.task,
        request=request(state),
        proof=run.proof,
        done_signal=run.done_signal,
        notes=[replace(note, reached_worker=note.kind == "review" and peer_wrote) for note in state.notes],
        unanimous=sum(note.kind in prompts.REVIEW_NOTES for note in state.notes) == len(reviewers(state)) > 1,
        checks=run.checks,
        peer=agent_name(run, other(state.author)) if run.paired and state.author not in state.absent else None,
        findings=findings.lines(findings.open_ones(state.findings)),
        template=run.prompts.get("work", ""),
    )


def iteration_over(state: RunState, trouble: str = "") -> RunState:
    """The work turn has ended without a claim: its tree is kept, where the run keeps checkpoints."""
    if state.run.binds_to_tree and state.run.keeps_checkpoints:
        return take_tree(state, "worked", trouble)
    return next_iteration(state, trouble)


def next_iteration(state: RunState, trouble: str = "") -> RunState:
    """Another iteration is due, if the gates let it begin. `trouble`: the fault of the turn before it."""
    return replace(state, due=trouble)


def pass_gates(before: RunState, state: RunState, check: gates.Gate = gates.check) -> RunState:
    """The result of an event, after the gates. The only caller of the gates."""
    if state.phase in {Phase.NEW, *FINAL_PHASES}:
        return state
    if before.asking and state.stopping:
        return state  # nothing runs: the stop takes effect now, and what is due stays due
    if state.hold is not None and state.hold.kind == "ask":
        return state if before.asking else _asked_now(state, check(state))
    hold = check(state)
    if hold is not None and hold.kind == "ask":
        if hold.by == gates.ITERATIONS:
            return out_of_iterations(replace(state, due=None))
        if state.phase in USER_IS_ASKED:
            return state  # it asks the user already; the gate asks when there is something to hold
        if not (state.stopping or state.stuck):
            return ask(state, hold, new=_new(before, state))
    elif hold is not None and hold.kind == "fail":
        state = replace(state, hold=hold, failures=0)  # a resumed run has as many tries as before
    elif hold is not None and not (state.stopping or state.stuck):
        state = hold_back(state, hold, new=_new(before, state))
    if before.asking and state.due is not None and state.hold is None:
        return start_iteration(replace(state, due=None))  # the answer was pause enough
    return state if state.due is None else _after_cooldown(replace(state, due=None))


def _asked_now(state: RunState, hold: Hold | None) -> RunState:
    """Until it is asked, a question says what its gate finds now. After the answer all gates decide again."""
    state = state if state.due is None else replace(state, phase=Phase.COOLDOWN)
    assert state.hold is not None, "a gate asks"
    return state if hold is None or hold.by != state.hold.by else replace(state, hold=hold)


def _new(before: RunState, state: RunState) -> list[Job]:
    """The jobs whose commands are not out yet. A job whose command is out may have been interrupted meanwhile."""
    out = {job.id for job in before.jobs if job.issued}
    return [job for job in state.jobs if job.id not in out]


def ask(state: RunState, hold: Hold, new: Sequence[Job] = ()) -> RunState:
    """Asks the user once nothing runs; see `gates`. A due iteration stays due until the gates let it begin."""
    state = _held(state if state.due is None else replace(state, phase=Phase.COOLDOWN), hold, new)
    return say(state, hold.why, error=True) if any(job.issued for job in state.jobs) else state


def hold_back(state: RunState, hold: Hold, new: Sequence[Job] = ()) -> RunState:
    """Holds a run that cannot continue by itself: nothing begins, waits are withdrawn, running jobs finish.

    `new`: jobs of this same event, whose commands are not out yet. A stop remains a stop.
    """
    state = say(state, hold.why, error=True, resume_hint=True)
    return _held(state, hold, new)


def _held(state: RunState, hold: Hold, new: Sequence[Job]) -> RunState:
    if state.hold is not None:
        return replace(state, hold=state.hold if state.stopping else hold)
    jobs = tuple(replace(job, issued=False) if job in new else job for job in state.jobs)
    return joblist.withdraw_idle(replace(state, hold=hold, jobs=jobs))


def _after_cooldown(state: RunState) -> RunState:
    if state.run.cooldown_ms <= 0:
        return start_iteration(state)
    state = replace(state, phase=Phase.COOLDOWN)
    return joblist.add(state, WaitJob(label=f"cooldown-{state.iteration}", at_least_ms=state.run.cooldown_ms))


def out_of_iterations(state: RunState) -> RunState:
    """Asks the user; stops the run if the user cannot be asked."""
    detail = gates.out_of_iterations(state)
    if not state.run.interactive:
        return end(state, Phase.STOPPED, detail, goes_on_in=Phase.FOLLOW_UP)
    state = replace(state, phase=Phase.FOLLOW_UP)
    return joblist.add(state, QuestionJob(label="question", question=f"{detail}. What next? (blank stops the run)"))


def take_tree(state: RunState, moment: TreeMoment, trouble: str = "") -> RunState:
    """Reads the tree of the run's directory; trees.py decides what follows."""
    return joblist.add(state, TreeJob(label=f"tree-{moment}", moment=moment, trouble=trouble))


def pull_request(state: RunState) -> RunState:
    """The user approves the current work, whatever reviewers have found in it."""
    state = replace(state, phase=Phase.PULL_REQUEST, approved_by_human=True, approved_at_ms=state.at_ms)
    state = replace(state, findings=findings.after_approval(state.findings))
    return take_tree(state, "publish") if state.run.binds_to_tree else publish(state)


def hook(state: RunState, moment: str, facts: HookFacts, detail: str = "") -> RunState | None:
    """The step of this moment waits for the user's hook; None: there is none."""
    if moment not in state.run.hooks:
        return None
    return joblist.add(state, HookJob(label=moment, moment=moment, facts=facts, detail=detail))


def publish(state: RunState) -> RunState:
    """The work is approved: it is published, once the user's hook has ended."""
    state = replace(state, phase=Phase.PULL_REQUEST)
    return hook(state, "before_done", HookFacts()) or publish_now(state)


def publish_now(state: RunState) -> RunState:
    """The primary agent publishes the work. A probe first finds what is missing here."""
    if not state.run.looks_for_pull_request:
        return ask_for_pull_request(state)
    return joblist.add(state, PullRequestJob(label="pull-request-outlook", ahead=True))


def ask_for_pull_request(state: RunState, lacks: Missing = "") -> RunState:
    """Asks the primary agent for the pull request; `lacks`: what is missing here."""
    prompt = prompts.pull_request(
        state.task,
        lacks,
        request=request(state),
        findings=findings.lines(findings.shown(state.findings)),
        verified=proof_words.lines(proof.of(state)) if state.run.binds_to_tree else (),
        template=state.run.prompts.get("pull_request", ""),
    )
    return turn(state, "pull-request", state.author, "pull-request", prompt)


def look_for_pull_request(state: RunState) -> RunState:
    """Probes for the pull request, independent of the agent's report."""
    return joblist.add(state, PullRequestJob(label="pull-request-look", ahead=False))


def complete(state: RunState, detail: str) -> RunState:
    """The task is proved done, once the user's hook has ended."""
    detail += taken_over(state)
    return hook(state, "after_done", HookFacts(detail=detail), detail) or completed(state, detail)


def completed(state: RunState, detail: str) -> RunState:
    """The run is completed, unless the user may give another task."""
    state = replace(state, proof=proof.of(state))
    for line in proof_words.lines(proof.of(state)) if state.run.binds_to_tree else ():
        state = say(state, line)
    if not state.run.open_ended:
        return end(state, Phase.COMPLETED, detail)
    state = say(replace(state, tasks_done=state.tasks_done + 1), f"completed: {detail}")
    return ask_for_task(state)


def fail(state: RunState, detail: str) -> RunState:
    """Fails the run; `state` is where a resumed run continues."""
    return end(state, Phase.FAILED, detail, goes_on_in=state.phase)


def end(state: RunState, phase: Phase, detail: str, *, goes_on_in: Phase | None = None) -> RunState:
    """Ends the run. Remaining jobs are held for a resumed run; their ids were never issued, or are not awaited."""
    return replace(
        state,
        phase=phase,
        goes_on_in=goes_on_in,
        detail=detail,
        resume=state.hold.resume if state.hold is not None else "",
        asked=state.hold.by if state.hold is not None and state.hold.ask else "",
        hold=None,
        jobs=tuple(replace(job, issued=False) for job in state.jobs),
    )


def approved(state: RunState) -> str:
    """The words of a completed run. They name reviewers that could not review, and a review that is not independent."""
    counting, missing = counting_verdicts(state), uncounted_verdicts(state)
    if not missing or not counting or not all(each.verdict.approves for each in counting):
        return "review approved"
    names = " and ".join(agent_label(state.run, each.role) for each in missing)
    author = agent_label(state.run, state.author)
    alone = {each.role for each in counting} == {state.author}
    own = f" (not independent: {author} reviewed its own work)" if alone else ""
    return f"review approved without {names}{own}"


def counting_verdicts(state: RunState) -> tuple[RoundVerdict, ...]:
    """The verdicts that decide. A reviewer that cannot work is left out, where the settings say so."""
    uncounted = uncounted_verdicts(state)
    return tuple(each for each in state.verdicts if each not in uncounted)


def uncounted_verdicts(state: RunState) -> tuple[RoundVerdict, ...]:
    """The verdicts of reviewers that are left out."""
    if not state.run.on_unavailable:  # in older journals such a verdict counts against the work
        return ()
    return tuple(each for each in state.verdicts if each.verdict.kind in ("unavailable", "limited"))


def turn(state: RunState, label: str, role: Role, purpose: Purpose, prompt: str) -> RunState:
    """Adds a turn."""
    model = model_for(state, role, purpose)
    typed = state.run.keeps_findings and purpose == "review"
    return joblist.add(state, TurnJob(label=label, role=role, purpose=purpose, prompt=prompt, model=model, typed=typed))


def model_for(state: RunState, role: Role, purpose: Purpose) -> str:
    """The model that the settings name for this role and purpose."""
    run = state.run
    reviewing = purpose in {"review", "plan-review"}
    if role == "worker":
        return (run.worker_review_model or run.worker_model) if reviewing else run.worker_model
    return run.reviewer_model if reviewing else run.reviewer_work_model or run.reviewer_model


def add_note(state: RunState, note: Note) -> RunState:
    """Adds the note, unless it is a duplicate."""
    if note in state.notes:
        return state
    return replace(state, notes=(*state.notes, note))


def say(state: RunState, text: str, *, error: bool = False, resume_hint: bool = False) -> RunState:
    """Tells the user, once."""
    return replace(state, once=(*state.once, Notice(text=text, error=error, resume_hint=resume_hint)))


def request(state: RunState) -> str:
    """The user's own words, where the task is an agent's plan for them."""
    return state.run.task if state.planned else ""


def reviewers(state: RunState) -> tuple[Role, ...]:
    """The reviewers, each once, in the order of the settings. Where the agents have changed places, the one that wrote
    the last part is never alone.
    """
    roles = tuple(dict.fromkeys(state.run.reviewers))
    return (*roles, other(state.author)) if state.is_swapped and roles == (state.author,) else roles


def agent_name(run: RunSettings, role: Role) -> str:
    """The agent's own name."""
    return run.worker if role == "worker" else run.reviewer
