"""The loop> prompt, loop shell and the one-shot commands, on live runs, through a real pseudo-terminal."""

import json
import os
import shlex
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Loop, World
from tests.end_to_end.terminal import Terminal
from tests.lab.world import PATIENCE_S

# Turns that wait at a gate until the test opens it, or somebody interrupts them.
SCENARIO = '''
[[turn]]
when = "^Iteration"
[[turn.step]]
say = "at work"
[[turn.step]]
run = "cat GATE"
[[turn.step]]
say = "half of it"

[[turn]]
when = "^Review round"
[[turn.step]]
run = "cat GATE"
[[turn.step]]
say = """
good

<review>PASS</review>"""

[[turn]]
when = "."
[[turn.step]]
say = "I hear you"
'''


class Gate:
    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)

    def open(self) -> None:
        """Lets the turn go on that waits there, as soon as one does."""
        self.path.write_text("open")


@pytest.fixture
def gate(world: World) -> Gate:
    made = Gate(world.base / "gate")
    scenario = world.base / "gated.toml"
    scenario.write_text(SCENARIO.replace("GATE", str(made.path)))
    world.play_embedded(scenario)
    (world.project / "TASK.md").write_text("Greet people politely.\n")
    return made


Open = Callable[..., Terminal]


@pytest.fixture
def terminal(world: World) -> Iterator[Open]:
    opened: list[Terminal] = []

    def open_one(*words: str) -> Terminal:
        opened.append(Terminal(world, *words))
        return opened[-1]

    yield open_one
    for each in opened:
        each.end()


RUN = ("--agent", "embedded", "-p", "TASK.md")
IDLE = (r"reviewer \(running\)", r"reviewer \(busy")  # the answer to "mailbox reviewer", and what it is before


def loop(world: World, *words: str) -> tuple[int, str]:
    done = world.run(*words)
    return done.process.returncode, done.output


def as_json(world: World, *words: str) -> dict:
    code, output = loop(world, *words, "--json")
    assert code == 0, output
    return json.loads(output)


def test_a_run_is_watched_and_steered_from_its_own_terminal(world: World, gate: Gate, terminal: Open):
    own = terminal(*RUN, "-m", "2")
    own.expect("loop>")
    own.expect_all("at work", "are ready", "embedded-reviewer session ")

    # looking
    text = own.ask("status", "total .*")
    assert "run 1  working  iteration 1 of 2: waits for embedded" in text
    assert "Greet people politely." in text
    assert "worker       busy" in text
    own.ask("actors", r"reviewer +running +pid \d+")
    own.ask("mailbox worker", r"waiting: nothing[\s\S]*dead letters: none")
    own.ask("mailbox worker stacks", "thread agent-session")
    own.ask("verify", "run 1 has no check to repeat: --check names one")  # it has run beside the prompt
    own.ask("inspect run", r"RunActor run#1[\s\S]*_state = RunState")
    own.ask("inspect worker actor.session._running", "'[0-9a-f-]{36}'")
    own.ask("runs", "1  working .process [0-9]+.  paired")
    own.ask("cost", "total +[01] turns")
    own.ask("log root", "worker#1 is ready")
    own.ask("transcript", "status +working iteration 1 of 2")

    # slips of the fingers: one line, and the prompt is back
    for line, answer in [
        ("statsu", "error: unknown command 'statsu' .did you mean status"),
        ("xyzzy", "error: unknown command 'xyzzy'; help lists"),
        ("say embedded", "error: say needs an agent and a text: say AGENT TEXT"),
        ("say nobody hello", "error: no agent 'nobody' in this run: there are embedded, embedded-reviewer"),
        ("mailbox nobody", "error: no actor 'nobody': there are persistence"),
        ("inspect worker 1 +", "error: not a Python expression"),
        ("inspect worker 1/0", "error: ZeroDivisionError"),
        ("pause tomorrow", "error: pause takes now or nothing, not 'tomorrow'"),
        ("trace maybe", "error: trace takes on or off"),
        ("log nobody", "error: no actor 'nobody': there are persistence"),
        ("detach", "error: this is the run's own terminal"),
        ("followup", "error: followup needs an argument"),
    ]:
        own.ask(line, answer)
        own.expect("loop>")
    own.ask("help", r"followup +Answers the question[\s\S]*quit")
    own.ask("help say", r"say AGENT TEXT[\s\S]*in a turn of its own")
    own.child.send("mailb\t")
    own.expect("ox")  # only what is new is drawn
    own.child.send(" rev\t")
    own.expect("iewer")
    own.ask("", r"reviewer .running.")
    own.ask(" say embedded-reviewer my password", "begins a turn with it")
    own.ask_until("mailbox reviewer", *IDLE)

    own.child.send("say embedded-r\t")
    own.expect("eviewer")
    own.control("c")

    # saying, interrupting
    own.ask("steer look at the tests", "embedded gets it later: it waits for the end of the work turn")
    own.ask("say embedded-reviewer hello", "embedded-reviewer begins a turn with it")
    own.expect("embedded-reviewer I hear you")
    own.ask("interrupt", "interrupting embedded's work turn")
    own.expect("embedded   I hear you")  # what was to be steered is a turn of its own now
    own.expect("at work")
    assert "iteration 2 of 2: waits for embedded" in own.ask("status", "total")

    # pausing at the turn's end, and now
    own.ask("reject say it louder", "iteration 2 of 2")
    own.ask("pause", "pausing, iteration 2 of 2")
    own.ask("resume", "iteration 2 of 2: waits for embedded")
    own.ask("pause now", "pausing")
    own.expect("paused, iteration 2 of 2: waits for the user to resume it")
    own.ask("say embedded one more thing", "it waits for the run to resume")
    own.ask("resume", "iteration 2 of 2")
    own.expect("I hear you")
    own.expect("at work")

    # the question at the end
    gate.open()
    own.expect("question: iteration 2 of 2 is over")
    own.expect(r"f\S*llow-up>")  # only what differs from "loop>" is drawn
    own.ask("/status", "waits for the user's answer[\\s\\S]*total")
    own.ask("actors", r"worker +running")  # a word that is a command is meant as one, though any text is an answer
    own.ask("statsu", "error: unknown command 'statsu' .did you mean status..; .*: followup statsu")
    own.type("stop shouting, and add a test")
    own.expect("you answer: stop shouting, and add a test")
    own.expect("iteration 1 of 2: waits for embedded")
    own.expect("at work")
    # With a slash: as long as the prompt has not heard of the question's end, a line is an answer.
    assert "stop shouting, and add a test" in own.ask("/inspect run actor._state.task", "add a test.*")

    # actors
    own.ask("kill reviewer", "reviewer is being stopped, and stays down until")
    own.expect("stopped by hand")
    own.ask("actors", "reviewer +stopped +by hand")
    own.ask("say embedded-reviewer hello", "error: reviewer is stopped .by hand.: start reviewer first")
    own.ask("start reviewer", "reviewer is being started")
    own.expect("are ready")
    own.ask("restart bridge", "bridge is being restarted")
    own.expect("are ready")
    own.ask("actors", "bridge +running +pid [0-9]+ +1 restart")
    own.ask("trace on RunStatus bodies", "trace on")
    own.ask("pause", r'run#1 -> console RunStatus .* bytes, \d+ ms.*"hold": ?"pause"')
    own.ask("trace off", "trace off")

    # leaving: Ctrl-C takes back what was typed; Ctrl-D at an empty prompt stops
    own.child.send("kill wor")
    own.control("c")
    own.control("d")
    own.expect("Ctrl-D: stopping run 1, because this is its own terminal")
    assert own.wait() == 1
    assert "run 1 stopped: stopped from a console" in own.text
    assert world.manifest()["state"] == "stopped"
    history = world.home / ".loop" / "history"
    assert "steer look at the tests" in history.read_text()
    assert "my password" not in history.read_text()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert world.survivors() == []


def test_ctrl_c_twice_ends_a_run_at_once(world: World, gate: Gate, terminal: Open):
    own = terminal(*RUN)
    own.expect("at work")
    own.control("c")
    own.expect("Ctrl-C: interrupting the agents")
    own.control("c")
    own.expect("stopping immediately")
    assert own.wait() == 130
    assert world.survivors() == []


def test_ctrl_c_once_ends_a_run_in_order(world: World, gate: Gate, terminal: Open):
    own = terminal(*RUN)
    own.expect("at work")
    own.control("c")
    assert own.wait() == 130
    assert world.manifest()["state"] == "stopped"
    assert "to resume: loop --run-id 1" in own.text
    assert world.survivors() == []


def test_a_person_has_the_work_reviewed_and_approves_it(world: World, gate: Gate, terminal: Open):
    own = terminal(*RUN)
    own.expect("at work")
    own.ask("approve", "this verdict changes nothing: the run waits for embedded")
    own.expect("iteration 1 of 20: waits for")  # the answer, so that the next one is not taken for it
    own.ask("review", "iteration 1 of 20")
    gate.open()
    own.expect("review round 1: waits for")
    own.ask("approve", "review round 1")
    own.expect("draft pull request")
    assert own.wait() == 0
    reviews = [(line["reviewer"], line["status"]) for line in world.transcript() if line.get("kind") == "review"]
    assert reviews == [("human", "pass")]


def start_headless(world: World, *words: str) -> Loop:
    running = world.start(*RUN, *words)
    running.wait_for("are ready")
    running.wait_for("at work")
    running.wait_for("embedded-reviewer session ")
    return running


def test_one_shot_commands_and_shells_reach_a_run_that_has_no_terminal(world: World, gate: Gate, terminal: Open):
    running = start_headless(world)

    report = as_json(world, "status")
    assert (report["running"], report["run_id"], report["state"]) == (True, "1", "working")
    assert (
        report["status"]["line"] == "iteration 1 of 20: waits for embedded (worker)"
        or report["status"]["iteration"] == 1
    )
    assert {actor["name"]: actor["state"] for actor in report["actors"]} == {
        "persistence": "running",
        "bridge": "running",
        "run": "running",
        "worker": "busy",
        "reviewer": "running",
    }
    code, output = loop(world, "status", "1")
    assert code == 0
    assert output.startswith("run 1  working  iteration 1 of 20")
    assert as_json(world, "runs")[0]["running"] is True
    mailbox = as_json(world, "mailbox", "worker", "--run", "1")
    assert (mailbox["state"], mailbox["doing"]) == ("busy", "work turn")
    assert "begins a turn" in as_json(world, "say", "embedded-reviewer", "hello", "there")["text"]
    running.wait_for("you -> embedded-reviewer: hello there")
    assert "pausing" in as_json(world, "pause")["text"]
    assert "waits for embedded" in as_json(world, "resume")["text"]
    assert loop(world, "status", "7") == (
        2,
        f"[loop] error: no run '7' in {world.run_directory().parent}: loop runs lists them",
    )

    # a second root is told how to attach instead
    code, output = loop(world, "--agent", "embedded", "--run-id", "1")
    assert (code, output.count("\n")) == (2, 0)
    assert "attach to it with loop shell 1" in output

    # two shells at once; one detaches, the other sees the end
    one, two = terminal("shell"), terminal("shell", "1")
    for shell in (one, two):
        shell.expect("loop>")
        shell.expect("at work")  # what was shown before it came
        shell.ask("status", "run 1  working")
    one.ask_until("mailbox reviewer", *IDLE)
    one.ask("say embedded-reviewer and again", "begins a turn")
    two.expect("you -> embedded-reviewer: and again")
    one.control("c")
    one.expect("Ctrl-D detaches and the run continues")
    one.control("d")
    one.expect("detached: run 1 continues; loop shell 1 attaches again")
    assert one.wait() == 0
    third = terminal("shell", "1")
    third.expect("loop>")
    third.expect("and again")  # the last of the old news
    third.child.send("\x1b[A")
    third.expect("say embedded-reviewer and again")  # what was typed at another prompt, and before
    third.control("c")
    third.type("quit")
    assert third.wait() == 0
    piped = orders(world, "status", "xyzzy", "detach", "stop")
    assert "run 1  working" in piped
    assert "unknown command 'xyzzy'" in piped
    assert "stopping" not in piped
    assert orders(world, "inspect worker 'x' * 20_000_000").endswith("x… (of 20,000,002 characters)\n")

    follower = world.start("logs", "-f")
    follower.wait_for("at work")
    assert loop(world, "stop") == (0, "run 1 stopped: stopped from a console")
    assert running.wait() == 1
    two.expect("run 1 stopped: stopped from a console")
    assert two.wait() == 0
    assert follower.wait() == 0
    assert "worker#1" in follower.output

    # read-only from its files
    report = as_json(world, "status")
    assert (report["running"], report["state"]) == (False, "stopped")
    assert report["status"]["iteration"] == 1
    code, output = loop(world, "status")
    assert "(not running)" in output
    assert "to resume it: loop --run-id 1" in output
    assert [item["kind"] for item in as_json(world, "mailbox", "worker")["handled"]] == ["turn, settled"]
    records = [json.loads(line) for line in loop(world, "logs", "--json")[1].splitlines()]
    assert {record["actor"] for record in records} >= {"root", "worker#1", "persistence#1"}
    for words in (["pause"], ["resume"], ["say", "embedded", "x"], ["stop"], ["shell"]):
        code, output = loop(world, *words)
        assert (code, output) == (
            1,
            "[loop] error: run 1 is not running (stopped); to resume it: loop --run-id 1",
        )


def test_a_follower_of_the_log_ends_with_its_reader_though_nothing_more_is_logged(world: World, gate: Gate):
    running = start_headless(world)
    command = f"{shlex.quote(sys.executable)} -m shell.cli logs -f | head -n 1"
    first = subprocess.run(
        ["sh", "-c", command],
        cwd=world.project,
        env=world.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (first.stdout.count("\n"), first.stderr) == (1, "")
    running.signal(signal.SIGTERM)
    assert running.wait() == 130


def test_a_run_that_was_killed_is_shown_from_its_files(world: World, gate: Gate):
    running = start_headless(world)
    running.signal(signal.SIGKILL)
    running.process.wait()
    world.wait_until_empty()
    report = as_json(world, "status")
    assert (report["running"], report["state"]) == (False, "working")
    assert report["status"]["line"].startswith("iteration 1 of 20")
    assert [item["kind"].split(",")[0] for item in as_json(world, "mailbox", "worker")["waiting"]] == ["work turn"]


def test_what_a_person_says_reaches_the_agent_once_though_its_actor_is_killed(world: World, gate: Gate):
    running = start_headless(world)
    assert "gets it later" in as_json(world, "say", "embedded", "only", "once")["text"]
    running.kill("worker")
    running.wait_for("worker ended: crash .signal 9.")
    assert running.wait_until(lambda: sum("at work" in line for line in running.lines) > 1, PATIENCE_S)
    gate.open()
    running.wait_for("I hear you")
    assert loop(world, "stop")[0] == 0
    said = [
        entry
        for path in (world.home / ".loop-embedded").glob("*.jsonl")
        for entry in map(json.loads, path.read_text().splitlines())
        if entry["kind"] == "prompt" and entry["text"].strip() == "only once"
    ]
    assert len(said) == 1


FOLLOWER = """
import os
import sys
from pathlib import Path
from actors.edges import run_lock
from shell.control_client import ControlClient, control_endpoint
from supervisor.control.protocol import Ended, Follow, Shown
def say(line):
    os.write(1, (line + "\\n").encode())  # whole, also when two threads say something
directory = Path(sys.argv[1])
client = ControlClient(control_endpoint(directory), alive=lambda: run_lock.is_active(directory),
                    on_news=lambda news: say("ended" if isinstance(news, Ended) else news.progress.text))
client.ask(Follow(last=500), timeout_s=150)
say("follows")
sys.stdin.read()
client.close()
"""


class Follower:
    """A console that follows the run, in a process of its own."""

    def __init__(self, world: World) -> None:
        self.lines: list[str] = []
        self.news = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-c", FOLLOWER, str(world.run_directory())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=world.environment,
            text=True,
        )
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self.news:
                self.lines.append(line.strip())
                self.news.notify_all()

    def sees(self, text: str, timeout_s: float = PATIENCE_S) -> bool:
        with self.news:
            return self.news.wait_for(lambda: text in self.lines, timeout_s)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.reader.join()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


@pytest.fixture
def followers(world: World) -> Iterator[Callable[[], Follower]]:
    started: list[Follower] = []

    def follow() -> Follower:
        started.append(Follower(world))
        return started[-1]

    yield follow
    for each in started:
        each.end()


# More than all buffers hold, through the worker's own mouth.
STORM = "inspect worker [actor.show_progress('note', f'storm {n} ' + 'x' * 1000) for n in range(5000)] and None"


def test_ten_consoles_at_once_of_which_some_stop_reading_and_some_are_killed(
    world: World, gate: Gate, terminal: Open, followers: Callable[[], Follower]
):
    running = start_headless(world)
    shells = [terminal("shell") for _ in range(3)]
    consoles = [followers() for _ in range(7)]
    assert all(console.sees("follows") and console.sees("at work") for console in consoles)
    for shell in shells:
        shell.expect("loop>")
        shell.ask("status", "run 1  working")
    assert as_json(world, "status")["consoles"] == 10
    lazy, dead, *others = consoles
    lazy_shell, dead_shell, shell = shells
    for each in shells:
        each.see_only_the_end()
    for stopped in (lazy.process.pid, lazy_shell.child.pid):
        os.kill(stopped, signal.SIGSTOP)
    for killed in (dead.process.pid, dead_shell.child.pid):
        os.kill(killed, signal.SIGKILL)
    dead.process.wait()
    assert dead_shell.wait() is None

    answers = orders(world, STORM, "say embedded-reviewer hello", "status")
    assert "begins a turn with it" in answers
    assert "run 1  working" in answers
    running.wait_for("storm 4999")
    while not all(console.sees("calm", 0.5) for console in others):
        orders(world, "inspect worker actor.show_progress('note', 'calm')")
    assert as_json(world, "status")["consoles"] <= 8
    assert "storm 4999" not in "".join(lazy.lines)
    shell.expect("calm")
    shell.ask("mailbox reviewer", r"reviewer \(running\)")

    assert loop(world, "stop")[0] == 0
    assert running.wait() == 1
    assert all(console.sees("ended") for console in others)
    shell.expect("run 1 stopped: stopped from a console")
    assert shell.wait() == 0
    for stopped in (lazy.process.pid, lazy_shell.child.pid):
        os.kill(stopped, signal.SIGCONT)
    assert lazy_shell.wait() == 0


def test_keys_are_for_the_prompt_also_while_something_is_printed_above_it(world: World, gate: Gate, terminal: Open):
    headless = start_headless(world)
    shell = terminal("shell")
    shell.see_only_the_end()
    shell.expect("at work")
    flood = threading.Thread(target=orders, args=(world, STORM))
    flood.start()
    for _ in range(200):
        shell.expect("storm")
        shell.child.send("x")
        shell.control("c")  # takes back what was typed
    flood.join()
    headless.wait_for("storm 4999")
    shell.ask("help say", "say AGENT TEXT")
    shell.control("d")
    shell.expect("detached: run 1 continues")
    assert shell.wait() == 0
    assert loop(world, "stop")[0] == 0


def test_a_run_that_answers_late_keeps_its_consoles(world: World, gate: Gate, terminal: Open):
    headless = start_headless(world)
    shell = terminal("shell")
    shell.expect("at work")
    headless.signal(signal.SIGSTOP)
    shell.expect("the run gave no answer within 5 s")
    headless.signal(signal.SIGCONT)
    shell.ask("status", "run 1  working")
    shell.control("d")
    shell.expect("detached: run 1 continues")
    assert shell.wait() == 0
    assert loop(world, "stop")[0] == 0


def test_a_run_goes_on_though_its_own_terminal_takes_nothing_more(world: World, gate: Gate, terminal: Open):
    own = terminal(*RUN)
    own.expect_all("at work", "embedded-reviewer session ")
    own.see_only_the_end()
    answers = orders(world, STORM, "say embedded-reviewer hello", "status")  # and nobody reads what `own` shows
    assert "begins a turn with it" in answers
    assert "run 1  working" in answers
    assert loop(world, "stop") == (0, "run 1 stopped: stopped from a console")
    assert own.wait() == 1
    assert "to resume: loop --run-id 1" in own.text
    assert world.survivors() == []


def orders(world: World, *lines: str) -> str:
    """What a shell answers to commands that come through a pipe."""
    return subprocess.run(
        [sys.executable, "-m", "shell.cli", "shell"],
        input="".join(f"{line}\n" for line in lines),
        cwd=world.project,
        env=world.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    ).stdout


def test_a_terminal_that_is_closed_ends_its_run_in_order(world: World, gate: Gate, terminal: Open):
    own = terminal(*RUN)
    own.expect("at work")
    own.hang_up()
    world.wait_until_empty()
    assert world.manifest()["state"] == "stopped"


def test_an_actor_that_is_stopped_is_shown_as_stuck_and_delays_nobody(world: World, gate: Gate, terminal: Open):
    running = start_headless(world)
    shell = terminal("shell")  # it is up before: an actor is killed when it was silent for 10 s
    shell.expect("at work")
    shell.ask("status", "run 1  working")
    decider = running.pid_of("run")
    os.kill(decider, signal.SIGSTOP)
    shell.ask_until("actors", r"run +stuck +pid \d+ .*no sign of life for \d+ s", r"run +running +pid \d+")
    shell.ask("mailbox reviewer", r"reviewer \(running\)")
    shell.ask("pause", "run is stuck: it gets the request as soon as it is ready")
    os.kill(decider, signal.SIGCONT)
    running.wait_for("(pausing|paused), iteration 1")
    assert loop(world, "stop")[0] == 0
    assert running.wait() == 1


def test_a_request_that_kills_its_actor_kills_no_successor(world: World, gate: Gate):
    running = start_headless(world)
    reviewer = running.pid_of("reviewer")
    answers = orders(
        world,
        "inspect reviewer __import__('sys').exit(3)",
        "inspect reviewer __import__('os')._exit(3)",
        "status",
    )
    assert "SystemExit: 3" in answers
    assert "reviewer ended while it served this; it is not given to its successor" in answers
    running.wait_for("reviewer ended: crash .exit code 3.; restart 1 in a row")
    while (report := as_json(world, "status"))["actors"][4]["state"] not in ("running", "busy"):
        assert report["actors"][4]["name"] == "reviewer"
    assert report["actors"][4]["incarnation"] == 2
    assert report["actors"][4]["pid"] != reviewer
    assert loop(world, "stop")[0] == 0
    assert running.wait() == 1


def test_headless_output_is_one_json_object_a_line_and_hangup_reopens_the_log(world: World, gate: Gate):
    running = world.start(*RUN, "--headless", "--log-format", "json")
    running.wait_for('"kind":"ready"')
    running.wait_for("at work")
    log = world.run_directory() / "log"
    log.rename(log.with_name("log.1"))
    running.signal(signal.SIGHUP)
    running.wait_for("SIGHUP: log file reopened")
    assert "SIGHUP" in log.read_text()
    running.signal(signal.SIGTERM)
    assert running.wait() == 130
    records = [json.loads(line) for line in running.lines if not line.startswith("[loop]")]
    assert {"at", "run", "source", "agent", "kind", "text"} == set(records[0])
    assert {record["kind"] for record in records} >= {"ready", "status", "session", "say", "note"}
    assert world.survivors() == []
