"""Who may import whom: shell -> supervisor -> actors -> adapters -> embedded, edges -> machines, wire."""

from tests.layout.house import MODULES, PACKAGES, cycles, imports, strings

# A module belongs to the longest of these that its dotted name begins with. It may name its own rank and lower ones.
RANKS = {
    "actors.access": 0,
    "actors.censor": 0,
    "actors.errors": 0,
    "actors.messages": 0,
    "actors.settings": 0,
    "actors.text": 0,
    "actors.values": 0,
    "actors.machines": 1,
    "actors.wire": 1,
    "actors.clock": 2,
    "actors.edges": 2,
    "actors.embedded": 3,
    "actors.adapters": 4,
    "actors.runners": 5,
    "actors.session": 5,
    "actors.remote": 5,
    "actors.stream": 5,
    "actors": 6,
    "supervisor": 7,
    "shell": 8,
}


def rank(name: str) -> int:
    return next(
        number
        for prefix, number in sorted(RANKS.items(), reverse=True)
        if name == prefix or name.startswith(f"{prefix}.")
    )


def test_imports_go_one_way():
    upward = [
        f"{name} -> {other}"
        for name in MODULES
        for other in imports(name)
        if other.partition(".")[0] in PACKAGES and rank(other) > rank(name)
    ]
    assert upward == []


def test_no_modules_reach_each_other():
    """Late imports, imports for types, and modules that a string names, count as well."""
    assert cycles() == []


def test_what_a_string_names_is_there():
    assert [f"{name} -> {other}" for name in MODULES for other in strings(name) if other not in MODULES] == []
