"""How consoles reach a run: their protocol, the server, the handlers and the news."""
