"""Pure decisions: (state, event, now) -> (state, commands). No socket, file, process, thread, clock or chance."""
