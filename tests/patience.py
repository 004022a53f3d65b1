"""How long a test waits for what must come: not a promise, only the end of a test that hangs.

Far more than a machine needs that is three times as busy. What must *not* come is waited for less than a second. A
time between the two is a wait that a busy machine breaks (tests/layout/own_tests.py).
"""

PATIENCE_S = 60.0
STORY_S = 240.0  # of a whole test, which then says where it waits; pytest's own limit does not
