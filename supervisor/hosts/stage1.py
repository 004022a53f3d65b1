"""The first program on a host. It is sent as text over stdin and runs with whatever Python 3 is there.

It finds or makes an installation of this version, then becomes the shim: without another start of Python where it runs
in that installation already. `ask["begin"]` is for the shim, so that home waits once. Each line to home is MARK and
JSON: {"say": …} for the user, {"want": "wheel"} asks for our wheel, {"fail": …} is the last word, {"go": …} comes
before the shim. Standard library only; no syntax that Python 3.6 does not know, so that an old one can say so.
"""

from typing import NoReturn

MARK = "loop-stage1 "


def stage1(ask: "dict[str, str]") -> None:
    """`ask`: what home sends, as in ssh_link.stage1_request. Never returns."""
    import json
    import os
    import subprocess
    import sys

    def tell(**words: object) -> None:
        os.write(1, (MARK + json.dumps(words) + "\n").encode())

    def fail(text: str) -> NoReturn:
        tell(fail=text)
        sys.exit(1)

    def read(count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = os.read(0, count - len(data))
            if not more:
                sys.exit(1)
            data += more
        return data

    def become(python: str) -> NoReturn:
        tell(go=python)
        if python == sys.executable:
            import gc

            gc.disable()  # until the shim serves
            from supervisor.hosts import shim_start

            shim_start.run(ask["begin"])
        os.execv(python, [python, "-P", "-m", "supervisor.hosts.shim_start", ask["begin"], "loop-shim"])

    def code_of(python: str) -> str:
        if python == sys.executable:
            try:
                from supervisor.hosts import code
            except Exception:
                return ""
            return code.digest()
        found = subprocess.run(
            [python, "-P", "-c", "from supervisor.hosts import code; print(code.digest())"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        return found.stdout.decode().strip()

    sys.path[:] = [each for each in sys.path if each]  # what lies in the home directory is not ours
    version = "%d.%d" % sys.version_info[:2]
    from shutil import which

    if which("git") is None:
        fail("git is not installed there: install it")
    if ask["python"]:
        python = os.path.expanduser(ask["python"])
        if not os.access(python, os.X_OK):
            fail("%s is no program there: correct python in [hosts.%s]" % (python, ask["host"]))
        code = code_of(python)
        if code != ask["code"]:
            was = "another version of loop" if code else "no loop"
            fail(
                "%s there has %s: install this version for it, or remove python from [hosts.%s]"
                % (python, was, ask["host"])
            )
        become(python)
    if sys.version_info < (3, 11):
        fail("Python there is %s, and loop needs 3.11: install a newer python3" % version)
    folder = os.path.join(os.path.expanduser(ask["root"]), "code", ask["code"])
    python = os.path.join(folder, "venv", "bin", "python")
    done = os.path.join(folder, "installed")
    if os.path.exists(done) and os.access(python, os.X_OK):  # its Python may have been removed since
        become(python)
    tell(say="installing loop there, once for this version")
    before = os.umask(0o077)  # `mode` would count for the last folder alone
    os.makedirs(folder, exist_ok=True)
    os.umask(before)
    tell(want="wheel")
    line = b""
    while not line.endswith(b"\n"):
        line += read(1)
    name, size = line.decode().split()
    wheel = os.path.join(folder, name)
    with open(wheel, "wb") as file:
        file.write(read(int(size)))
    for command in (
        [sys.executable, "-m", "venv", "--clear", os.path.join(folder, "venv")],
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel + ask["extras"]],
    ):
        ran = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        if ran.returncode:
            words = ran.stdout.decode(errors="replace").strip().splitlines() or ["exit status %d" % ran.returncode]
            fail("loop cannot be installed there: " + words[-1][:300])
    os.close(os.open(done, os.O_CREAT | os.O_WRONLY, 0o600))
    become(python)
