from shell.log_lines import LogRecord, is_of, plain, records

LINES = [
    "half a line from before\n",
    "2026-11-22 11:42:45.480 INFO     162 repo-1/7/root supervisor.actor:220 worker#1 is ready: pid 165\n",
    "2026-11-22 11:42:46.001 CRITICAL 165 repo-1/7/worker#1 actors.actor_process:179 handler failed\n",
    "Traceback (most recent call last):\n",
    "ValueError: x\n",
    "2026-11-22 11:42:47.002 INFO     166 repo-1/7/worker#2 actors.actor_process:12 again\n",
]


def test_a_record_is_a_line_and_what_follows_it():
    found = list(records(LINES))
    assert [record.text.splitlines()[0] for record in found] == [
        "worker#1 is ready: pid 165",
        "handler failed",
        "again",
    ]
    assert found[1].text.endswith("\nValueError: x")
    assert (found[1].level, found[1].pid, found[1].run, found[1].actor) == ("CRITICAL", 165, "repo-1/7", "worker#1")
    assert found[0].where == "supervisor.actor:220"


def test_a_pause_in_the_stream_ends_a_record():
    stream = iter([LINES[1], "", LINES[5]])
    found = records(stream)
    assert next(found).actor == "root"
    assert next(stream) == LINES[5]


def test_a_record_belongs_to_its_actor_in_whatever_incarnation():
    found = list(records(LINES))
    assert [record.text for record in found if is_of(record, "worker")][-1] == "again"
    assert not is_of(found[0], "worker")


def test_people_see_time_actor_and_text_and_the_level_when_it_matters():
    found = list(records(LINES))
    assert plain(found[2]) == "11:42:47 worker#2      again"
    assert plain(found[1]).startswith("11:42:46 worker#1      CRITICAL handler failed")


def test_a_text_of_several_lines_begins_none_of_them_at_the_left():
    forged = LINES[1]
    [found] = records([LINES[5], f"  | {forged}", "  | \x1b[2Jx\n"])
    assert found.text == f"again\n{forged.rstrip()}\n\x1b[2Jx"
    first, *rest = plain(found).split("\n")
    assert first == "11:42:47 worker#2      again"
    assert [line[:23].strip() for line in rest] == ["", ""]
    assert rest[1].endswith("␛[2Jx")


def test_a_name_of_many_lines_is_one_short_name_and_indents_by_that_much():
    record = LogRecord(at="", level="INFO", pid=1, run="", actor="a\n" * 1_000_000, where="", text="x\ny")
    first, second = plain(record).split("\n")
    assert len(first) < 60
    assert second.strip() == "y"
