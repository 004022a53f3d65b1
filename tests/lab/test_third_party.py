import json
from pathlib import Path

from tests.lab import third_party

URL = "http://127.0.0.1:4711"


def test_each_agent_is_sent_to_the_server_in_its_role() -> None:
    made = third_party.environment(
        Path("/h"), Path("/c"), URL, {"gemini": "worker", "copilot": "reviewer"}, {"PATH": "/bin"}
    )
    assert made["GOOGLE_GEMINI_BASE_URL"] == f"{URL}/worker"
    assert made["COPILOT_PROVIDER_BASE_URL"] == f"{URL}/reviewer/v1"
    assert made["PATH"] == "/c/node_modules/.bin:/bin"
    both = third_party.environment(Path("/h"), Path("/c"), URL, {"copilot": None}, {})
    assert (both["COPILOT_PROVIDER_BASE_URL"], both["GOOGLE_GEMINI_BASE_URL"]) == (f"{URL}/v1", URL)


def test_nobodys_login_is_passed_on() -> None:
    made = third_party.environment(
        Path("/h"), Path("/c"), URL, {}, {"GEMINI_API_KEY": "secret", "GOOGLE_CLOUD_PROJECT": "mine"}
    )
    assert "secret" not in made.values()
    assert "GOOGLE_CLOUD_PROJECT" not in made


def test_gemini_tries_a_request_once_and_reports_nothing(tmp_path: Path) -> None:
    third_party.prepare_home(tmp_path)
    third_party.prepare_home(tmp_path)
    settings = json.loads((tmp_path / ".gemini/settings.json").read_text())
    assert settings["general"]["maxAttempts"] == 1
    assert not settings["privacy"]["usageStatisticsEnabled"]


def test_they_count_as_installed_once_the_installation_was_finished(tmp_path: Path) -> None:
    cache = third_party.cache_folder({"XDG_CACHE_HOME": str(tmp_path)})
    assert cache == third_party.cache_folder({"HOME": "/h", "XDG_CACHE_HOME": str(tmp_path)})
    assert third_party.cache_folder({"HOME": "/h"}) == Path("/h/.cache/pairloop/agents")
    cache.mkdir(parents=True)
    assert not third_party.is_installed(cache)
    (cache / ".installed").touch()
    assert third_party.is_installed(cache)
