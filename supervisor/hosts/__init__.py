"""Agent actors on other hosts: the ssh link to a host, the program there, and the launcher that uses both."""
