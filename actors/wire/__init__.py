"""How a message looks in bytes. Pure."""
