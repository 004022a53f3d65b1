"""What happens: messages, decisions (machines), the actors that carry them, and the edges that do the work."""
