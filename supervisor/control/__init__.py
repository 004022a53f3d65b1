"""How consoles reach a run: what they may say, who hears it, what is done about it."""
