"""A look at a host, whose ssh is a script that runs the command on this machine."""

from pathlib import Path

import pytest

from actors.hosts import Host
from supervisor.hosts.probe import probe

SSH = '#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n'


def put_program(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(("login", "agents"), [(".codex/auth.json", {"codex": True}), ("x", {"codex": False})])
def test_a_probe_finds_the_agents_of_a_host_and_whether_they_are_logged_in(
    tmp_path: Path, login: str, agents: dict[str, bool]
):
    ssh = put_program(tmp_path / "ssh", SSH)
    put_program(tmp_path / "bin" / "codex")
    (tmp_path / login).parent.mkdir(exist_ok=True)
    (tmp_path / login).write_text("{}")
    far = ("env", f"HOME={tmp_path}", f"PATH={tmp_path / 'bin'}:/usr/bin:/bin", str(ssh))
    found = probe(Host(name="big", ssh_command=("env", "-u", "CODEX_API_KEY", "-u", "OPENAI_API_KEY", *far)))
    assert {name: seen for name, seen in found.agents.items() if name == "codex"} == agents
    assert found.git
