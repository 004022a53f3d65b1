"""Any order of answers, the user's words, duplicates and crashes: no dead end, no turn twice, the fold is the state."""

from __future__ import annotations

import json

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors import run_states
from actors.machines import projection, run
from actors.machines.run import budgets, grants, joblist
from actors.machines.run import state as run_state
from actors.messages import TurnOutcome, Usage, Window
from actors.settings import RunSettings

UID = "0e9f3a34-8c28-4a34-9d6b-1f4e3f0d8a11"
ANSWERABLE = (
    *(run.StartTurn, run.ReadPlan, run.RunChecks, run.TakeTree, run.ProbePullRequest, run.StartCooldown),
    run.RunHook,
)
HOOKS = ("before_turn", "after_turn", "before_check", "after_check", "before_review", "after_review")
DONE = "<promise>DONE</promise>"
# A good turn in every phase: says done, passes the review.
GOOD = {"work": DONE, "review": "<review>PASS</review>"}

REVIEWS = (
    "FINDING app.py:1 | wrong | pytest\n<review>FAIL</review>",
    "FINDING minor | app.py:1 | wrong\n<review>FAIL</review>",
    "STAYS f1\n<review>FAIL</review>",
    "ACCEPTED f1\nFIXED f2\n<review>PASS</review>",
    '{"verdict": "changes", "findings": [{"place": "b.py", "description": "also wrong"}]}',
    f"REFUSED f1: it is right\n{DONE}",
)
OUTCOMES = st.builds(
    TurnOutcome,
    status=st.sampled_from(["finished", "finished", "finished", "failed", "interrupted", "limited"]),
    text=st.sampled_from(["", DONE, DONE, "<review>PASS</review>", "x\n<review>FAIL</review>", *REVIEWS]),
    error=st.sampled_from(["", "boom"]),
    resets_at_ms=st.sampled_from([None, 0, 5_000_000]),
    cause=st.sampled_from(
        ["", "", "transient", "billing", "login", "unavailable", "context", "budget", "silent", "overdue"],
    ),
    window=st.sampled_from(
        [
            None,
            None,
            *(Window(used_percent=used, resets_at_ms=9_000_000) for used in (50, 97)),
            Window(used_percent=100),
        ]
    ),
    usage=st.builds(Usage, input_tokens=st.integers(0, 40), cost_usd=st.sampled_from([0.0, 0.5])),
)
SETTINGS = st.builds(
    RunSettings,
    run_uid=st.just(UID),
    task=st.just("Fix it."),
    open_ended=st.booleans(),
    needs_plan=st.booleans(),
    worker=st.just("codex"),
    reviewer=st.sampled_from(["claude", "codex"]),
    paired=st.booleans(),
    reviewers=st.sampled_from([("worker", "reviewer"), ("worker", "reviewer"), ("reviewer",), ("worker",), ()]),
    plan_reviewer=st.sampled_from(["reviewer", "worker", None]),
    checks=st.sampled_from([(), ("pytest", "ruff")]),
    max_iterations=st.integers(1, 7),
    cooldown_ms=st.sampled_from([0, 30_000]),
    interactive=st.booleans(),
    looks_for_pull_request=st.booleans(),
    binds_to_tree=st.booleans(),
    keeps_checkpoints=st.booleans(),
    grants_turns=st.booleans(),
    counts_at_start=st.booleans(),
    asks_again=st.booleans(),
    at_limit=st.sampled_from(["wait", "swap", "stop"]),
    looks_at_limits=st.booleans(),
    trusts_resets=st.booleans(),
    counts_verdicts=st.booleans(),
    keeps_findings=st.booleans(),
    on_unavailable=st.sampled_from(["", "ask", "wait", "skip", "other", "fail"]),
    hooks=st.one_of(
        st.just({}), st.dictionaries(st.sampled_from([*HOOKS, "before_done", "after_done"]), st.just("make"))
    ),
    max_wait_ms=st.sampled_from([None, 0, 60_000, 86_400_000]),
    max_stalled=st.sampled_from([0, 0, 1, 2]),
    max_rounds=st.sampled_from([0, 0, 1, 2]),
    max_cost_usd=st.sampled_from([None, None, 1.0]),
    max_tokens=st.sampled_from([None, 50]),
    max_time_ms=st.sampled_from([None, None, 10_000]),
    review_patience_ms=st.sampled_from([0, 60_000]),
)
TYPED_AGAIN = st.fixed_dictionaries(
    {},
    optional={
        "max_cost_usd": st.sampled_from([None, 0.5, 100.0]),
        "max_tokens": st.sampled_from([None, 1, 1_000]),
        "grants_turns": st.just(True),
        "counts_at_start": st.just(True),
        "max_iterations": st.integers(1, 7),
        "max_rounds": st.integers(0, 3),
        "max_stalled": st.integers(0, 2),
        "at_limit": st.sampled_from(["wait", "swap", "stop"]),
        "on_unavailable": st.sampled_from(["ask", "wait", "skip", "other", "fail"]),
        "hooks": st.sampled_from([{}, {"before_turn": "make"}, {"after_review": "make"}]),
        "binds_to_tree": st.booleans(),
        "reviewers": st.sampled_from([("worker", "reviewer"), ("reviewer",), ()]),
    },
)
FOUND = run.PullRequest(url="https://example.org/pull/1", state="OPEN", is_draft=True, branch="polite")
SIGHTS = st.one_of(
    st.just(run.PullRequestStatus(found=FOUND)),
    st.builds(
        run.PullRequestStatus,
        lacks=st.sampled_from(["", "repository", "remote", "gh", "login", "answer"]),
        reason=st.just("why"),
    ),
)


def identity(command):
    """What makes a command the same one again: its id."""
    return next(
        (
            getattr(command, field)
            for field in ("turn_id", "read_id", "checks_id", "take_id", "look_id", "wait_id", "hook_id")
            if hasattr(command, field)
        ),
        type(command).__name__,
    )


class RunMachine(RuleBasedStateMachine):
    """A worker that may die between any two events, with agents, a clock and users who do as they please."""

    def __init__(self):
        super().__init__()
        self.state = run.initial()
        self.now_ms = 1_000_000
        self.journal = []
        self.issued = {}  # answerable commands by id, for good
        self.answers = []  # all that were ever given
        self.settled = set()  # ids of turns that ended
        self.most_iterations = 0  # that the run had at any time, where it was begun with more than it has now

    @initialize(of=SETTINGS, task=st.sampled_from(["Fix it.", ""]))
    def starts(self, of, task):
        if of.open_ended:
            of = msgspec.structs.replace(of, task=task)
        self.happens(run.RunStarted(settings=of))

    def happens(self, event):
        before = self.state
        self.state, commands = run.decide(before, event, self.now_ms)
        self.looks_at_approval(before)
        self.looks_at_grants(before)
        self.journal.append((type(event), msgspec.json.encode(event)))
        for line in projection.project(before, event, self.state, "2026-01-01T00:00:00.000Z"):
            assert {"at", "kind"} <= set(json.loads(json.dumps(line)))
        of = self.state.run
        if self.state.iteration > before.iteration and of.counts_at_start:
            assert self.state.iteration <= of.max_iterations, "an iteration too many"
        self.most_iterations = max(self.most_iterations, of.max_iterations)
        for command in commands:
            if isinstance(command, run.StartTurn):
                assert command.turn_id not in self.issued, "a turn was started twice"
            if isinstance(command, ANSWERABLE):
                self.issued[identity(command)] = command

    def looks_at_approval(self, before):
        """The work is approved by the user, or as the settings say: here, by each reviewer that they name."""
        after = self.state
        begins = after.phase is run.Phase.PULL_REQUEST and before.phase not in {
            *(run.Phase.PULL_REQUEST, run.Phase.STOPPED, run.Phase.FAILED),
        }
        if not begins or after.approved_by_human:
            return
        of, tree = after.run, after.known_tree
        if of.checks and tree:
            assert after.checked is not None
            assert after.checked.tree == tree, "the checks were of another tree"
            assert not any(each.exit_code for each in after.checked.results), "the checks had failed"
        if not of.reviewers:
            return
        passed = {each.role for each in after.verdicts if each.verdict.approves}
        assert passed, "nobody approved it"
        assert {each.review_round for each in after.verdicts} == {after.review_round}
        assert {each.tree for each in after.verdicts if each.verdict.approves} <= {tree}
        if of.on_unavailable not in {"skip", "other"} and of.keeps_findings:  # older runs are as they were
            assert passed >= set(of.reviewers), "a reviewer is left out"
            assert passed != {after.author} or after.author == "worker", "its author alone approved it"

    def looks_at_grants(self, before):
        """No turn begins beside another one without room for both, nor after the end of a budget."""
        had = {claim.turn_id for claim in before.claims if claim.is_granted}
        has = {claim.turn_id for claim in self.state.claims if claim.is_granted}
        if new := has - had:
            assert not budgets.is_used_up(self.state), "a turn began though the budget is used up"
            assert len(has) == 1 or budgets.has_room(self.state), f"{new} began beside another turn"

    def open(self, *kinds):
        return [each for each in run.outstanding(self.state, self.now_ms) if isinstance(each, kinds)]

    def answer(
        self, command, outcome=None, exit_code=0, text="the plan", status=None, *, tree="same", timed=True, hook=0
    ):
        match command:
            case run.StartTurn():
                self.settled.add(command.turn_id)
                event = run.TurnSettled(
                    turn_id=command.turn_id,
                    outcome=outcome or TurnOutcome(status="finished", text=GOOD.get(command.purpose, "")),
                    at_ms=self.now_ms if timed else 0,
                )
            case run.ReadPlan():
                event = run.PlanRead(
                    read_id=command.read_id, text=text, digest="before" if command.ahead else f"digest of {text}"
                )
            case run.RunChecks():
                results = tuple(run.CheckResult(command=each, exit_code=exit_code) for each in command.commands)
                event = run.ChecksEnded(checks_id=command.checks_id, results=results)
            case run.TakeTree():
                now = run.Tree(id=(command.since or "first") if tree == "same" else tree, reason="no git")
                changed = ("a.py",) if now.id != command.since else ()
                event = run.TreeTaken(take_id=command.take_id, tree=now, changed=changed)
            case run.ProbePullRequest():
                seen = status or run.PullRequestStatus(found=FOUND)
                event = run.PullRequestProbed(look_id=command.look_id, status=seen)
            case run.RunHook():
                event = run.HookEnded(hook_id=command.hook_id, exit_code=hook, words="no")
            case run.StartCooldown():
                self.now_ms = max(self.now_ms, command.until_ms)
                event = run.CooldownEnded(wait_id=command.wait_id)
        self.answers.append(event)
        self.happens(event)

    # --- what may happen ---

    @precondition(lambda self: self.open(*ANSWERABLE))
    @rule(
        data=st.data(),
        outcome=OUTCOMES,
        exit_code=st.sampled_from([0, 0, 1]),
        text=st.sampled_from(["plan", None]),
        status=SIGHTS,
        tree=st.sampled_from(["same", "same", "other", "third", ""]),
        timed=st.booleans(),
        hook=st.sampled_from([0, 0, 1, 2]),
    )
    def something_is_answered(self, data, outcome, exit_code, text, *, status, tree, timed, hook):
        command = data.draw(st.sampled_from(self.open(*ANSWERABLE)))
        self.answer(command, outcome, exit_code, text, status, tree=tree, timed=timed, hook=hook)

    @precondition(lambda self: self.open(*ANSWERABLE))
    @rule(data=st.data())
    def something_goes_well(self, data):
        self.answer(data.draw(st.sampled_from(self.open(*ANSWERABLE))))

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def an_old_answer_comes_again(self, data):
        before = self.state
        self.happens(data.draw(st.sampled_from(self.answers)))
        assert self.state == before

    @precondition(lambda self: set(self.issued) - {identity(each) for each in self.open(*ANSWERABLE)})
    @rule(data=st.data())
    def something_withdrawn_is_answered_after_all(self, data):
        late = sorted(set(self.issued) - {identity(each) for each in self.open(*ANSWERABLE)})
        before = self.state
        self.answer(self.issued[data.draw(st.sampled_from(late))])
        assert self.state == before

    @rule(now=st.booleans())
    def somebody_pauses(self, now):
        self.happens(run.PauseRequested(now=now))

    @rule()
    def somebody_resumes(self):
        self.happens(run.ResumeRequested())

    @rule()
    def somebody_stops(self):
        self.happens(run.StopRequested(reason="enough"))

    @rule(approved=st.booleans(), notes=st.sampled_from(["", "faster"]))
    def somebody_judges(self, approved, notes):
        self.happens(run.VerdictSubmitted(approved=approved, notes=notes))

    @rule(finding_id=st.sampled_from(["f1", "f2", "f99"]))
    def somebody_waives_a_finding(self, finding_id):
        self.happens(run.FindingWaived(finding_id=finding_id))

    @rule(text=st.sampled_from(["", "more"]))
    def somebody_follows_up(self, text):
        self.happens(run.QuestionAnswered(text=text))

    @rule()
    def somebody_wants_a_review(self):
        self.happens(run.ReviewRequested())

    @rule(role=st.sampled_from(["worker", "reviewer"]), mail=st.sampled_from(["", "mail-1", "mail-2"]))
    def a_session_wants_a_turn(self, role, mail):
        """Its first of the run, or a mail, or none; what it has settled last may not have been told."""
        own = [job.id for job in self.state.open_turns if job.role == role]
        turn_id, purpose = (mail, "mail") if mail else ((own[0], "work") if own else ("", ""))
        after = next((each for each in sorted(self.settled) if each in self.state.past), "")
        self.happens(run.TurnWanted(role=role, turn_id=turn_id, purpose=purpose, after=after))

    @rule(role=st.sampled_from(["worker", "reviewer"]), number=st.integers(1, 3))
    def a_message_costs_something(self, role, number):
        usage = Usage(input_tokens=number)
        self.happens(run.UsageGrew(role=role, turn_id=f"mail-{number}", purpose="mail", model="", usage=usage))

    @precondition(lambda self: self.state.open_turns)
    @rule(data=st.data(), tokens=st.integers(1, 80))
    def a_turn_that_runs_costs_something(self, data, tokens):
        job = data.draw(st.sampled_from(self.state.open_turns))
        usage = Usage(input_tokens=tokens)
        self.happens(run.UsageSeen(role=job.role, turn_id=job.id, purpose=job.purpose, model="", usage=usage))

    @rule(ms=st.integers(1, 6_000))
    def time_passes(self, ms):
        self.happens(run.TimePassed(ms=ms))

    @rule(role=st.sampled_from(["worker", "reviewer"]), comes=st.booleans())
    def an_agent_comes_to_the_bridge_or_does_not(self, role, comes):
        self.happens(run.ContactChanged(role=role, comes=comes))

    @rule(role=st.sampled_from(("worker", "reviewer")), host=st.sampled_from(("", "big")), moved=st.booleans())
    def an_agent_is_placed(self, role, host, moved):
        self.happens(run.AgentPlaced(role=role, host=host, moved=moved))

    @rule()
    def the_peer_writes(self):
        self.happens(run.MailReachedWorker(sender="claude"))

    @rule(
        task=st.sampled_from([None, "", "Fix it.", "Fix that."]),
        interactive=st.booleans(),
        needs_plan=st.booleans(),
        more=st.one_of(st.just({}), TYPED_AGAIN),
    )
    def a_new_root_opens_the_run(self, task, interactive, needs_plan, more):
        new = None
        if task is not None:
            new = msgspec.structs.replace(
                self.state.run, task=task, interactive=interactive, needs_plan=needs_plan, run_uid="", **more
            )
            new = msgspec.structs.replace(new, given=tuple(more), only_given=True)
        self.happens(run.RunResumed(settings=new))

    @rule()
    def the_worker_dies(self):
        self.state = run.fold(msgspec.json.decode(body, type=kind) for kind, body in self.journal)

    # --- what must hold ---

    @invariant()
    def the_fold_of_the_journal_is_the_state(self):
        events = [msgspec.json.decode(body, type=kind) for kind, body in self.journal]
        assert run.fold(events) == self.state

    @invariant()
    def it_ends_or_waits_for_something(self):
        outstanding = run.outstanding(self.state, self.now_ms)
        outstanding = [each for each in outstanding if not isinstance(each, run.GrantTurn)]  # mail's, it may be
        if self.state.phase in run.FINAL_PHASES:
            assert [type(command) for command in outstanding] == [run.EndRun]
        elif self.state.settings is not None:
            assert bool(outstanding) != self.state.paused

    @invariant()
    def no_turn_begins_once_a_budget_is_used_up_and_none_runs_beyond_its_tail(self):
        if self.state.settings is None or budgets.part(self.state) < 1:
            return
        turns = self.open(run.StartTurn)
        assert not turns or self.state.hold is not None, "the next turn would begin"
        if budgets.is_overrun(self.state):
            assert {each.turn_id for each in turns} <= {each.turn_id for each in self.open(run.InterruptTurn)}

    @invariant()
    def a_turn_that_waits_for_its_grant_gets_it_or_is_ended(self):
        if not grants.are_needed(self.state) or self.state.phase in run.FINAL_PHASES:
            assert not self.open(run.GrantTurn)
            return
        open_turns = {each.turn_id for each in self.open(run.StartTurn)}
        granted = {each.turn_id for each in self.open(run.GrantTurn)}
        if budgets.is_used_up(self.state):
            ended = {each.turn_id for each in self.open(run.InterruptTurn)}
            assert open_turns <= granted | ended, "a turn that may not begin is waited for"
        elif not any(claim.after in open_turns for claim in self.state.claims):
            assert granted or not any(claim.turn_id for claim in self.state.claims), "nothing runs, and a turn waits"

    @invariant()
    def what_is_outstanding_was_issued_and_not_answered(self):
        outstanding = self.open(*ANSWERABLE)
        assert {identity(each) for each in outstanding} <= set(self.issued)
        turns = {each.turn_id: each for each in outstanding if isinstance(each, run.StartTurn)}
        started = {each.turn_id: each for each in self.issued.values() if isinstance(each, run.StartTurn)}
        assert set(turns) == set(started) - self.settled, "a turn was forgotten, or asked for again"
        assert all(started[turn_id] == turn for turn_id, turn in turns.items()), "a turn changed under its id"
        assert {each.turn_id for each in self.open(run.InterruptTurn)} <= set(turns)

    @invariant()
    def a_pull_request_is_one_that_was_seen(self):
        if self.state.pull_request is not None:
            assert self.state.pull_request == FOUND
            told = FOUND.url in self.state.detail or self.state.tasks_done > 0  # each of several has its own
            assert told or self.state.phase is not run.Phase.COMPLETED

    @invariant()
    def every_finding_has_an_id_of_its_own(self):
        ids = [each.id for each in self.state.findings]
        assert len(ids) == len(set(ids))

    @invariant()
    def whatever_holds_it_has_words(self):
        hold = self.state.hold
        if hold is not None and hold.by != run_state.USER:
            assert hold.why.strip(), "nobody knows why it is held"
        if hold is not None and hold.kind == "ask":
            assert hold.ask.strip()
        if self.state.phase in {run.Phase.STOPPED, run.Phase.FAILED}:
            assert self.state.detail.strip()
            assert self.state.goes_on_in is not None

    @invariant()
    def nothing_waits_between_two_events_but_what_a_gate_asks_about(self):
        held = self.state.hold is not None and self.state.hold.kind == "ask"
        assert self.state.answer is None
        assert self.state.due is None or held or self.state.phase in run.FINAL_PHASES
        assert (
            held
            or self.state.hold is not None
            or all(job.issued for job in self.state.jobs)
            or (self.state.phase in run.FINAL_PHASES)
        )

    @invariant()
    def no_role_has_two_turns_even_behind_a_wait_or_a_hook(self):
        roles = [turn.role for turn in joblist.turns(self.state)]
        assert len(roles) == len(set(roles))

    @invariant()
    def no_session_has_two_turns_at_once(self):
        roles = [each.role for each in self.open(run.StartTurn)]
        assert len(roles) == len(set(roles))

    @invariant()
    def the_iterations_keep_to_their_number(self):
        if self.state.settings is not None:
            assert self.state.iteration <= self.most_iterations

    @invariant()
    def people_can_be_told_where_it_is(self):
        assert run.describe(self.state)
        assert run_states.status_of(projection.manifest_state(self.state)) in {
            "running",
            "done",
            "failed",
            "stopped",
        }

    def teardown(self):
        """From wherever it is, a run whose turns go well comes to its end."""
        if self.state.settings is None:
            return
        for _ in range(100):
            if self.state.phase in run.FINAL_PHASES or self.state.tasks_done > 0:
                return
            if self.state.paused:
                self.happens(run.ResumeRequested())
            elif self.state.asking and self.state.hold.by == budgets.NAME:
                self.happens(run.QuestionAnswered(text="--max-cost 1000 --max-tokens 1M --max-time 1h"))
            elif self.open(run.AskQuestion):
                self.happens(run.QuestionAnswered(text="more"))
            else:
                self.answer(self.open(*ANSWERABLE)[0])
        raise AssertionError(f"no end in sight: {run.describe(self.state)}")


TestAnyOrder = RunMachine.TestCase
TestAnyOrder.settings = settings(max_examples=120, stateful_step_count=40, suppress_health_check=list(HealthCheck))
