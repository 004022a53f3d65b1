"""What keeps a run alive: child specs, restart policy, launchers, the router and the root process."""

OWNER = "pairloop"  # start-up checks this: another PyPI project is also imported as "supervisor"
