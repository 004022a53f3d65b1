"""What happens: messages, pure decisions (machines), actors that carry them out, and edges that touch the world."""
