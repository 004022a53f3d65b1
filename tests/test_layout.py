"""The layout's rules: the modules in tests/layout have one each for a kind. No rule needs a process of ours.

A list of exceptions shrinks. Who breaks a rule mends the code; who has mended an exception takes it off its list.
"""

import pytest

RULES = ("directions", "contracts", "texts", "documents", "prose", "startup", "own_tests")
pytest.register_assert_rewrite(*(f"tests.layout.{rules}" for rules in RULES))

from tests.layout.contracts import *  # noqa: E402, F403
from tests.layout.directions import *  # noqa: E402, F403
from tests.layout.documents import *  # noqa: E402, F403
from tests.layout.own_tests import *  # noqa: E402, F403
from tests.layout.prose import *  # noqa: E402, F403
from tests.layout.startup import *  # noqa: E402, F403
from tests.layout.texts import *  # noqa: E402, F403
