"""Contracts between modules: one name for one thing, messages, settings, signatures, foreign libraries."""

import ast
import re
from collections import defaultdict
from functools import cache

from tests.layout.house import MODULES, PACKAGES, at, called, calls, imports, nodes, source, tree, walked

UNPICKLES = ("cloudpickle.loads", "cloudpickle.load", "pickle.loads", "pickle.load", "marshal.loads")

# --- names ------------------------------------------------------------------------------------------------------


def speaks(name: str) -> bool:
    """Whether its classes are read side by side: messages, events, commands, the ledger and the control protocol."""
    return name.startswith(("actors.messages", "actors.machines.turn", "supervisor.control.protocol")) or (
        name.startswith("actors.machines") and (name.endswith((".events", ".commands")) or ".run.jobs." in name)
    )


def test_no_class_of_the_dialogues_has_the_name_of_another():
    places: dict[str, list[str]] = defaultdict(list)
    for name in filter(speaks, MODULES):
        for node in tree(name).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(name)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_a_journal_is_read_by_the_names_that_are_on_disk():
    """The rule of `actors.machines.stored`: a class may be renamed, its name in journals may not."""
    readers = {
        name
        for name in MODULES
        for comprehension in nodes(name, ast.DictComp)
        if isinstance(comprehension, ast.DictComp)
        and ast.unparse(comprehension.key).endswith(".__name__")
        and any(re.search("EVENTS|types", ast.unparse(each.iter)) for each in comprehension.generators)
    }
    assert readers == set()


# --- messages ---------------------------------------------------------------------------------------------------

# Those that several receive, each for something of its own.
RECEIVED_BY_SEVERAL = {
    "AgentContact": "the root's standing of a run, and the run itself",
    "ActorDown": "the router's routes and the reliable channel's peers",
    "ActorUp": "told to every actor: routes, peers, and actors that report themselves to a new one",
    "FetchSession": "the run hands it to its courier of sessions",
    "FetchTree": "the run hands it to its courier of trees",
    "SessionParcel": "both sides hand it to their courier of sessions",
    "SessionTakenIn": "the agent's actor hands it to its courier of sessions",
    "TreeParcel": "both sides hand it to their courier of trees",
    "TreeTakenIn": "the agent's actor hands it to its courier of trees",
    "Progress": "every console shows it",
    "RunStatus": "the root's standing of a run, and consoles",
    "StartTurnRequest": "the session, and the reviewer, which starts its own with the first one",
    "SessionOpened": "the manifest names the session, and the bridge delivers mail to it",
    "StopActor": "each thread of an actor's process ends by it",
}


@cache
def defined_messages() -> frozenset[str]:
    return frozenset(
        node.name
        for name in MODULES
        if name.startswith("actors.messages")
        for node in tree(name).body
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("Message") for base in node.bases)
    )


def spoken(name: str) -> dict[str, str]:
    """The messages that this module knows, by how they are written in it: {"mail.Deliver": "Deliver"}."""
    known = {
        alias.asname or alias.name: alias.name
        for found in nodes(name, ast.ImportFrom)
        if (found.module or "").startswith("actors.messages")
        for alias in found.names
    }
    return known | {f"messages.{message}": message for message in defined_messages()}


def test_every_message_is_sent_and_received_by_one():
    sent, received = defaultdict(set), defaultdict(set)
    for name in MODULES:
        if not any(other.startswith("actors.messages") for other in imports(name)):
            continue
        known = spoken(name)
        for call in calls(name):
            sent[known.get(called(call))].add(name)
            if called(call) == "isinstance":
                for each in ast.walk(call.args[1]):
                    if isinstance(each, ast.Name | ast.Attribute):
                        received[known.get(ast.unparse(each))].add(name)
        for pattern in nodes(name, ast.MatchClass):
            received[known.get(ast.unparse(pattern.cls))].add(name)
    messages = defined_messages()
    assert len(messages) > 40
    assert [each for each in messages if not sent[each]] == []
    assert [each for each in messages if not received[each]] == []
    several = {each: received[each] for each in messages if len(received[each]) > 1}
    assert several.keys() == RECEIVED_BY_SEVERAL.keys()  # what one receives leaves the list


# --- settings ---------------------------------------------------------------------------------------------------


def test_every_setting_is_read():
    """As an attribute, by a module other than the one that defines it."""
    settings = {
        node.target.id
        for each in tree("actors.settings").body
        if isinstance(each, ast.ClassDef) and each.name == "RunSettings"
        for node in each.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    read = {
        node.attr
        for name in MODULES
        if name != "actors.settings"
        for node in nodes(name, ast.Attribute)
        if re.search(r"(?:^|[._])(?:settings|run|before|new)$", ast.unparse(node.value))
    }
    assert len(settings) > 20
    assert settings - read == set()


# --- signatures -------------------------------------------------------------------------------------------------

# Edges, adapters and the embedded agent speak with foreign programs, whose JSON it is. The list shrinks; nothing is
# added: a struct says what is in it.
TAKE_ANY_DICTIONARY = {
    "actors.text": "reads foreign JSON",
    "shell.installation": "pipx's own file",
}


def test_signatures_say_what_is_in_a_dictionary():
    taking = set()
    for name in MODULES:
        if name.startswith(("actors.edges", "actors.adapters", "actors.embedded")):
            continue
        for function in (*nodes(name, ast.FunctionDef), *nodes(name, ast.AsyncFunctionDef)):
            arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
            said = [function.returns, *(argument.annotation for argument in arguments)]
            if any("dict[str, Any]" in ast.unparse(each) for each in said if each):
                taking.add(name)
    assert taking == TAKE_ANY_DICTIONARY.keys()  # what takes none any more leaves the list


# --- foreign libraries ------------------------------------------------------------------------------------------

# Private names of foreign packages, by the module that uses them. The list shrinks; each has its reason.
PRIVATE_NAMES = {
    ("actors.edges.bus", "_current_frames"): "documented by Python, and the only way to see where a thread is",
    ("actors.edges.mailbox", "pykka._envelope"): "Pykka has no other name for what is in a mailbox",
    ("actors.edges.imports", "pydantic._internal"): "pydantic 2 has no option that keeps it from reading sources",
    ("shell.dashboard.web", "_make_app"): "textual-serve 1.1 has no other way to serve below a path",
}
PUBLIC = {"_asdict", "_exit", "_fields", "_make", "_replace"}  # of Python's own, in spite of their names


def names_of_ours() -> set[str]:
    """Everything that is defined or assigned somewhere in the packages."""
    found: set[str] = set()
    for name in MODULES:
        for node in walked(name):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.attr)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
    return found


def test_private_names_of_foreign_packages_are_listed_with_their_reasons():
    ours = names_of_ours() | PUBLIC
    used = set()
    for name in MODULES:
        for node in nodes(name, ast.ImportFrom):
            words = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            if words[0] not in PACKAGES and words[0] != "__future__" and any(word.startswith("_") for word in words):
                used.add((name, node.module))
        for attribute in nodes(name, ast.Attribute):
            if attribute.attr.startswith("_") and not attribute.attr.startswith("__") and attribute.attr not in ours:
                used.add((name, attribute.attr))
    assert used == PRIVATE_NAMES.keys()  # what is used no more leaves the list


def test_one_module_makes_the_zeromq_context():
    making = ("zmq.Context", "zmq.Poller", "import Context")
    assert [name for name in MODULES if any(word in source(name) for word in making)] == ["actors.edges.socket_loop"]


def test_one_module_makes_temporary_folders():
    """Any other one leaves its folder behind when its process is killed. A file without a name leaves nothing."""
    named = {"TemporaryDirectory", "NamedTemporaryFile", "SpooledTemporaryFile", "mkdtemp", "mkstemp"}
    places = {name for name in MODULES for call in calls(name) if called(call).rpartition(".")[2] in named}
    assert {name for name in places if not name.startswith(("scripts", "tests"))} == {"actors.edges.scratch"}


def test_msgpack_of_others_is_decoded_in_one_place():
    decoding = ("msgpack.Decoder", "msgpack.decode")
    assert [name for name in MODULES if any(word in source(name) for word in decoding)] == ["actors.wire.unpack"]


def test_no_wait_swallows_its_cancellation():
    """`asyncio.wait_for` of Python 3.11 loses a cancellation that comes together with what it waits for; a task that is
    to end then runs for ever. `asyncio.timeout` loses none.
    """
    waiting = [at(name, call) for name in MODULES for call in calls(name) if called(call) == "asyncio.wait_for"]
    assert waiting == []


def test_code_is_unpickled_by_actors_alone_and_only_from_the_root():
    """Nothing that comes from a host is unpickled at home: `ProcessActor._apply` takes code from the root."""
    unpickling = {name for name in MODULES for call in calls(name) if called(call) in UNPICKLES}
    assert unpickling == {"actors.actor_process"}
    assert not any(name in ("pickle", "marshal", "shelve") for module in MODULES for name in imports(module))
