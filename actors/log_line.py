"""The form of one line of a log, as `actors.logs` writes it. Pure."""

from __future__ import annotations

import re

LINE = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) (?P<level>[A-Z]+) +(?P<pid>[0-9]{1,10}) "
    r"(?P<run>\S*)/(?P<actor>[^/\s]*) (?P<where>\S+:\d+) (?P<text>.*)"
)
