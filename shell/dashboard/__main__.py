"""One page of `loop dashboard --web`: the application, driven through its standard streams by textual's server."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from shell.dashboard.app import Dashboard
from shell.dashboard.collect import Collector

sys.exit(Dashboard(Collector(Path.home(), os.environ)).run() or 0)
