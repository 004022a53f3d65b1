"""Imported by the spare process of a launcher under test: tells the test that it is there."""

import os

import launched

LINK = launched.tell(os.environ["EAR"], pid=os.getpid(), spare=True)
