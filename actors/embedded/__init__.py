"""The embedded agent: a program of its own that plays scenario files. Never imports an actor, an edge or an adapter."""
