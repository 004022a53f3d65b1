import pytest
from acp import audio_block, embedded_text_resource, resource_block, resource_link_block, text_block

from actors import values
from actors.errors import UserError
from shell.acp.prompt import text_of


def test_files_of_the_client_are_part_of_the_task():
    linked = resource_link_block("a.py", "file:///work/a.py")
    embedded = resource_block(embedded_text_resource("file:///work/b.py", "print()"))
    text = text_of([text_block("Fix"), linked, text_block("please"), embedded])
    assert text == "Fix /work/a.py please\n\n/work/b.py:\n```\nprint()\n```"


@pytest.mark.parametrize(
    ("blocks", "line"),
    [
        ([], "the prompt is empty"),
        ([text_block(" \n")], "the prompt is empty"),
        ([text_block("x" * (values.MOST_TASK_BYTES + 1))], "the prompt has 1,000,001 bytes"),
        ([audio_block("AAAA", "audio/wav")], "a prompt takes text and files, not audio"),
    ],
)
def test_what_no_agent_gets_is_refused(blocks: list[object], line: str):
    with pytest.raises(UserError, match=line):
        text_of(blocks)
