"""The demo's second half (scripts/demo is the first): a throw-away repository, a scripted model, and one whole run.

The agents are the real `codex` and `claude` with a scripted model server instead of their providers. With --embedded it
is the embedded agent. Either way nothing leaves this machine, and no login is needed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from actors.embedded.scenario_file import SHIPPED, load_scenario
from tests.lab.demo_repo import DEMO_TASK, make_demo_repository
from tests.lab.model_server import ModelServer
from tests.lab.offline_home import agent_environment, prepare_home
from tests.lab.stand_in_gh import put_gh

CHECK = "python3 -m unittest"


def main() -> int:
    embedded = "--embedded" in sys.argv[1:]
    base = Path(tempfile.mkdtemp(prefix="loop-demo-"))
    home, project = base / "home", base / "greeting"
    home.mkdir()
    make_demo_repository(project)
    git(base, "init", "-q", "--bare", "origin.git")
    git(project, "remote", "add", "origin", str(base / "origin.git"))
    git(project, "push", "-q", "-u", "origin", "main")
    calls = put_gh(base / "bin")
    scenario = SHIPPED / "demo.toml"

    say(f"a repository with a failing test: {project}")
    say(f"the task: {DEMO_TASK}")
    with ExitStack() as stack:
        environment = dict(os.environ)
        if embedded:
            environment |= {"HOME": str(home), "LOOP_EMBEDDED_SCENARIO": str(scenario)}
            agent = "embedded"
        else:
            server = stack.enter_context(ModelServer(load_scenario(scenario)))
            prepare_home(home, server.url, codex_model="")  # as for a user without a configuration
            environment = agent_environment(home, server.url, "reviewer", environment)
            agent = "codex"
        if os.geteuid() == 0:
            environment["IS_SANDBOX"] = "1"  # Claude Code refuses to work unattended as root without it
        environment |= {"PATH": f"{base / 'bin'}{os.pathsep}{environment['PATH']}", "LOOP_COOLDOWN_MS": "0"}
        loop = Path(sys.executable).with_name("loop")
        say(f"loop --agent {agent} --check '{CHECK}' …")
        done = subprocess.run(
            [loop, "--agent", agent, "--check", CHECK, "--proof", f"{CHECK} passes", DEMO_TASK],
            cwd=project,
            env=environment,
            check=False,
        )
    if done.returncode != 0:
        say(f"the run ended with exit status {done.returncode}; everything is still in {base}")
        return done.returncode
    say("what was changed:")
    git(project, "--no-pager", "diff", "--stat", "main", "HEAD")
    say("what gh was asked: " + (calls.read_text().strip().replace("\n", " | ") if calls.exists() else "nothing"))
    say(f"the repository: {project}")
    say(f"the run: {next((home / '.loop' / 'runs').glob('*/*'))}")
    return 0


def git(cwd: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=cwd, check=True)


def say(text: str) -> None:
    print(f"[demo] {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
