"""An actor that ends too often, with real processes: the run is suspended until a user answers.

What follows from which end in which state is in `tests/supervisor/test_tree.py`.
"""

import json
import re
import signal

from supervisor.run_tree import CHILDREN
from supervisor.spec import Intensity
from tests.end_to_end.conftest import TASK, Loop, World
from tests.end_to_end.terminal import Terminal
from tests.lab.world import PATIENCE_S

MOST = Intensity().max_restarts
RUN = ("--agent", "embedded", TASK)


def kill_too_often(loop: Loop, run_id: str = "1") -> str:
    """Kills all of them side by side, so that it is often enough within the minute on a busy machine as well, and waits
    for them each time. Returns the last one.
    """

    def count() -> int:
        return sum("reviewer are ready" in line for line in loop.lines)

    loop.wait_for("reviewer are ready")
    rounds, rest = divmod(MOST, len(CHILDREN))
    assert rest == 0
    for _ in range(rounds):
        seen = count()
        for actor in CHILDREN:
            loop.kill(actor, run_id)
        assert loop.wait_until(lambda seen=seen: count() > seen, PATIENCE_S), loop.output
    last = CHILDREN[0]
    loop.kill(last, run_id)
    return last


def test_under_serve_a_run_is_suspended_and_takes_no_place_until_a_user_restarts_it(hanging: World):
    world = hanging
    (world.home / ".loop").mkdir(mode=0o700)
    notified = world.base / "notified"
    (world.home / ".loop" / "config.toml").write_text(f"[notify]\ncommand = 'echo $LOOP_RUN $LOOP_EVENT >> {notified}'")
    for _ in range(2):
        assert world.run("submit", *RUN).process.returncode == 0
    serve = world.start("serve", "--max-runs", "1")
    last = kill_too_often(serve)
    serve.wait_for(
        rf"/1 loop +question: restart {last}, or stop\? {last} ended: crash .signal 9.; no more than {MOST} restarts .*"
        r"Answer in: loop shell project-[0-9a-f]+/1"
    )
    serve.wait_for("/2 loop +starts in")
    report = json.loads(world.run("status", "1", "--json").output)
    assert (report["running"], report["state"]) == (True, "input-required")
    assert report["question"].startswith(f"restart {last}, or stop?")
    assert {actor["name"]: actor["state"] for actor in report["actors"]} == {
        name: "dead" if name == last else "stopped" for name in CHILDREN
    }
    assert world.manifest()["state"] == "input-required"
    shell = Terminal(world, "shell", "1")
    try:
        text = shell.ask("status", rf"{last} +dead +2 restarts; crash \(signal 9\); not restarted again")
        assert "run 1  input-required  planning: suspended" in text
        assert re.search(rf"question +restart {last}, or stop\?", text)
        shell.ask("say embedded hello", "error: worker is (dead|stopped) .*: start worker first")
        shell.ask("kill nobody", "error: no actor 'nobody'")
        shell.ask(f"start {last}", f"{last} is being started, and the others with it")
        shell.expect("are ready")
        shell.ask("status", "working")
    finally:
        shell.end()
    assert world.manifest()["state"] == "working"
    assert world.run("stop", "1").process.returncode == 0
    serve.wait_for("/1 loop +over: stopped")
    serve.signal(signal.SIGTERM)
    assert serve.wait() == 0
    assert world.survivors() == []
    assert notified.read_text() == "1 input-required\n"
