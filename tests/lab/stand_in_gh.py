"""A stand-in for GitHub's CLI, for tests and the demo: it knows only the pull requests that it made itself.

It is a shell script. Like `gh` it asks git for the branch unless one is named. It records every call, and never uses
the network.
"""

from __future__ import annotations

from pathlib import Path

_SCRIPT = """#!/bin/sh
here=$(dirname "$0")
branch=$(git symbolic-ref --quiet --short HEAD)
case "$2 $3" in "view -"*) ;; "view "?*) branch=$3 ;; esac
[ -n "$branch" ] || { echo 'could not determine current branch: failed to run git: not on any branch' >&2; exit 1; }
made="$here/gh.made.$(printf %s "$branch" | tr / :)"
printf '%s\\n' "$*" >> "$here/gh.calls"
case "$1 $2" in
  "pr create")
    if [ -e "$made" ]; then echo "a pull request for branch \\"$branch\\" already exists" >&2; exit 1; fi
    case " $* " in *" --draft "*) draft=true ;; *) draft=false ;; esac
    url="https://example.invalid/demo/pull/$(($(ls "$here" | grep -c '^gh[.]made') + 1))"
    printf '{"headRefName":"%s","isDraft":%s,"state":"OPEN","url":"%s"}\\n' "$branch" "$draft" "$url" > "$made"
    echo "$url" ;;
  "pr view")
    if [ ! -e "$made" ]; then echo "no pull requests found for branch \\"$branch\\"" >&2; exit 1; fi
    cat "$made" ;;
  *) exit 1 ;;
esac
"""


def put_gh(folder: Path) -> Path:
    """Writes `gh` into the folder, which it creates. Returns the file that has a line per call."""
    folder.mkdir(exist_ok=True)
    program = folder / "gh"
    program.write_text(_SCRIPT)
    program.chmod(0o755)
    return folder / "gh.calls"
