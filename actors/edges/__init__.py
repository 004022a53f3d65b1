"""One module per outside thing: a socket, a database, a directory, a program. Edges act; they never decide."""
