"""`stop`: ends a run in order."""

from __future__ import annotations

from actors.errors import UndeliverableError
from shell.commands.asking import client, done, print_text
from shell.commands.base import Command, Prompt, now_or_later
from shell.commands.grammar import Invocation, Subcommand

# A graceful stop gives the agents 15 s to be interrupted, and ending the processes takes up to 3 s a level.
STOP_PATIENCE_S = 40.0
LOOK_AGAIN_S = 0.2  # the end of a run's root sends no event


def _stop(invocation: Invocation) -> int:
    """Stops the run, and returns when its processes are gone. Takes a queued run out of the queue."""
    import time

    from actors.clock import wall_ms
    from actors.edges import run_dir, run_lock
    from shell import run_files
    from supervisor import submissions
    from supervisor.control.protocol import Control, Ended, Follow

    found = run_files.choose(invocation.run, running=False)
    if not found.pid and submissions.withdraw(found.directory):
        run_dir.set_state(found.directory, "stopped", wall_ms())
        print_text(invocation, found, f"run {found.run_id} is no longer in the queue of loop serve")
        return 0
    run_files.check_running(found, invocation.run)
    from shell.control_client import RunEndedError

    last: list[Ended] = []
    asking = client(found, lambda news: last.append(news) if isinstance(news, Ended) else None)
    try:
        asking.ask(Follow())
        asking.ask(Control(action="stop-now" if invocation.now else "stop"))
        deadline = time.monotonic() + STOP_PATIENCE_S
        while run_lock.is_active(found.directory):
            if time.monotonic() > deadline:
                raise UndeliverableError(f"run {found.run_id} is still stopping: loop stop --now {found.run_id}")
            time.sleep(LOOK_AGAIN_S)
    except RunEndedError:
        pass
    finally:
        asking.close()
    ended = last[0] if last else Ended(state=found.state, detail="")
    print_text(invocation, found, f"run {found.run_id} {ended.state}{': ' + ended.detail if ended.detail else ''}")
    return 0


def _type_stop(prompt: Prompt, rest: str) -> str:
    """Ends the run in order: its turn continues after a resume. `stop now` does not wait for the agents."""
    from supervisor.control.protocol import Control

    return done(prompt, Control(action=now_or_later(rest, "stop", "stop-now")))


STOP = Command(
    name="stop",
    arguments="[now]",
    typed=_type_stop,
    completes=("now",),
    row=Subcommand("stop", "stop a run in order, or --now", flags=("--now", "--json")),
    once=_stop,
)
