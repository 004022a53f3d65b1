"""The byte format of messages. Pure."""
