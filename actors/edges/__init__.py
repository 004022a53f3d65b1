"""One outside thing each: a socket, a database, a directory, a program. Edges do; they do not decide."""
