"""What everybody that we start is given of our environment."""

import subprocess
import sys
from pathlib import Path

from actors.edges import environments

PROGRAM = "import json; from actors.edges import environments; print(json.dumps(environments.handed_on()))"


def handed_on(**variables: str) -> str:
    environment = {**environments.handed_on(), **variables}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[3],
    ).stdout  # fmt: skip


def test_nobody_is_sent_into_another_repository_or_run():
    said = handed_on(GIT_DIR="/else/.git", GIT_WORK_TREE="/else", GIT_INDEX_FILE="/else/i", LOOP_RUN_ID="7", MINE="1")
    assert '"MINE": "1"' in said
    assert "/else" not in said
    assert "LOOP_RUN_ID" not in said


def test_every_variable_that_git_calls_local_to_a_repository_is_known():
    named = subprocess.run(["git", "rev-parse", "--local-env-vars"], capture_output=True, text=True, check=True)
    # These are settings of the user's that every git command in the run should have.
    settings = {"GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT", "GIT_NO_REPLACE_OBJECTS"}
    assert set(named.stdout.split()) - settings - {"GIT_REPLACE_REF_BASE"} <= set(environments.ELSEWHERE)
