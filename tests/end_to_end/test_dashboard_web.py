"""`loop dashboard --web` in a headless Chromium, and who is not let in."""

import re
import shutil
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, WebSocket, sync_playwright

from actors.edges.doorkeeper import MOST_WAITING
from tests.end_to_end.conftest import TASK, Loop, World
from tests.lab.world import PATIENCE_S

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
_CONTROL = re.compile(rb"\x1b\[[0-9;?<>=]*\$?[a-zA-Z]|\x1b[=>]")


def serve(world: World) -> tuple[Loop, str]:
    loop = world.start("dashboard", "--web")
    address = re.search(r"http://\S+", loop.wait_for("dashboard: "))
    assert address is not None
    return loop, address.group()


class Browser:
    """One page. What the application draws comes as the bytes that a terminal gets; xterm.js paints it on a canvas."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.drawn = b""
        self.asked: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("websocket", self._listen)

    def _listen(self, link: WebSocket) -> None:
        link.on("framereceived", self._take)

    def _take(self, payload: bytes | str) -> None:
        if isinstance(payload, bytes):
            self.drawn += payload

    def open(self, address: str) -> None:
        self.page.goto(address)
        self.page.wait_for_selector("body.-first-byte", timeout=PATIENCE_S * 1000)
        self.page.locator(".xterm-helper-textarea").focus()

    def shows(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while text.encode() not in (plain := _CONTROL.sub(b"", self.drawn)):
            if time.monotonic() > deadline:
                raise TimeoutError(plain[-3_000:].decode(errors="replace"))
            self.page.wait_for_timeout(50)  # lets playwright hand over what has come

    def key(self, key: str) -> None:
        self.drawn = b""
        self.page.keyboard.press(key)


@pytest.fixture
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield Browser(chromium.new_page(viewport={"width": 1000, "height": 600}))
        chromium.close()


def test_the_dashboard_is_used_in_a_browser(embedded: World, browser: Browser, tmp_path: Path):
    embedded.run("--agent", "embedded", TASK)
    loop, address = serve(embedded)
    browser.open(address)
    browser.shows("1 Runs 0/1")
    browser.shows("review approved")
    browser.key("t")
    browser.shows("done-signal-detected")
    browser.key("2")
    browser.shows("session")
    browser.key("1")
    browser.key("c")
    browser.shows("is not running")
    picture = browser.page.screenshot(path=tmp_path / "dashboard.png")
    assert len(picture) > 10_000  # not an empty page
    foreign = [url for url in browser.asked if not url.startswith(address)]
    assert foreign in ([], [url for url in foreign if "fonts.googleapis" in url])  # refused by the page's policy
    browser.page.close()
    deadline = time.monotonic() + PATIENCE_S
    while {each.pid for each in embedded.survivors()} != {loop.process.pid}:  # the page's process ends with it
        if time.monotonic() > deadline:
            raise TimeoutError([each.cmdline() for each in embedded.survivors()])
    loop.signal(signal.SIGTERM)
    assert loop.wait() == 0
    assert address not in "".join(loop.lines[1:])


def test_nothing_is_left_of_it_when_it_is_killed(embedded: World, browser: Browser):
    loop, address = serve(embedded)
    browser.open(address)
    browser.shows("No run yet")
    assert len(embedded.survivors()) > 1
    loop.signal(signal.SIGKILL)
    loop.wait()
    embedded.wait_until_empty()


def status(url: str, **headers: str) -> int:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_only_who_has_the_address_is_let_in(embedded: World):
    loop, address = serve(embedded)
    base, _, secret = address.rstrip("/").rpartition("/")
    assert len(secret) >= 43  # 256 bits
    assert status(address) == 200
    for path in ("", "/", "/ws", "/static/js/textual.js", f"/{'A' * len(secret)}/", f"/{secret[:-1]}/"):
        assert status(f"{base}{path}") == 404
    port = base.rpartition(":")[2]
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"localhost:{port}"):
        assert status(address, Host=host) == 403
    for origin in ("http://evil.example", "null", f"http://localhost:{port}"):
        assert status(f"{address}ws", Origin=origin, Upgrade="websocket", Connection="Upgrade") == 403
    with socket.socket() as link:  # loopback alone
        others = [each[4][0] for each in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
        for other in others:
            if not str(other).startswith("127."):
                assert link.connect_ex((other, int(port))) != 0
    loop.signal(signal.SIGINT)
    assert loop.wait() == 0


def test_strangers_keep_nobody_out(embedded: World):
    loop, address = serve(embedded)
    port = int(address.split("/")[2].rpartition(":")[2])
    strangers = [socket.create_connection(("127.0.0.1", port)) for _ in range(MOST_WAITING + 50)]
    assert status(address) == 200
    for stranger in strangers[:50]:  # the first ones made room
        stranger.settimeout(PATIENCE_S)
        assert stranger.recv(1) == b""
    for stranger in strangers:
        stranger.close()
    loop.signal(signal.SIGINT)
    assert loop.wait() == 0
    assert len([line for line in loop.lines if "connections were closed" in line]) == 1


def test_a_port_that_is_taken_is_one_clear_line(embedded: World):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        loop = embedded.run("dashboard", "--web", "--port", str(port))
    assert (loop.process.returncode, len(loop.lines)) == (2, 1)
    assert f"cannot listen on port {port} (address already in use): give another one" in loop.lines[0]


def test_without_the_extra_it_names_it(embedded: World, tmp_path: Path):
    package = tmp_path / "without" / "textual_serve"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError(\"No module named 'textual_serve'\")\n")
    loop = embedded.run("dashboard", "--web", PYTHONPATH=str(package.parent))
    assert (loop.process.returncode, len(loop.lines)) == (2, 1)
    assert "pip install 'pairloop[web]'" in loop.lines[0]
