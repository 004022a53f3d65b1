"""Deterministic stand-ins that ship: a scripted model server for the real agents, and an embedded agent."""
