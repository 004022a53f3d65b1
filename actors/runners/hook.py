"""Runs a hook of the user (edges/checks runs the command)."""

from __future__ import annotations

import json

import msgspec

from actors.edges.checks import TIMED_OUT, CheckRun
from actors.machines import run
from actors.runners.base import Place
from actors.setting_rows.hooks import HOOK_TIMEOUT_S


class HookRunner:
    """For `RunHook`. The hook reads its facts as JSON, and has LOOP_* variables."""

    def __init__(self, command: run.RunHook, place: Place) -> None:
        self._command = command
        self._timeout_s = command.timeout_s or HOOK_TIMEOUT_S
        self._tell = place.tell
        variables = {"LOOP_EVENT": command.moment, "LOOP_RUN": place.run_id, "LOOP_DIRECTORY": str(place.cwd)}
        facts = {
            "event": command.moment,
            "run": place.run_id,
            "directory": str(place.cwd),
            "iteration": command.iteration,
            "tree": command.tree,
            **msgspec.to_builtins(command.facts),
            "verdicts": [
                {"agent": agent, "verdict": verdict, "reason": reason}
                for agent, verdict, reason in command.facts.verdicts
            ],
        }
        self._hook = CheckRun(
            [command.command],
            place.cwd,
            place.environment | variables,
            timeout_s=self._timeout_s,
            given=json.dumps(facts).encode(),
        )

    def run(self) -> run.HookEnded | None:
        """Returns how it ended; None when it was interrupted."""
        self._tell("note", f"hook {self._command.moment}: {self._command.command}")
        results = self._hook.run(lambda _: None)
        if not results:
            return None
        result = results[0]
        error = result.error
        if error and result.exit_code == TIMED_OUT:
            error = f"was ended after {self._timeout_s} s, unfinished (hooks.timeout)"
        return run.HookEnded(
            hook_id=self._command.hook_id, exit_code=result.exit_code, words=result.output_tail, error=error
        )

    def cancel(self) -> None:
        """Ends the hook with everything that it started."""
        self._hook.cancel()
