"""The scenario files that ship, and the repository that the demo works on."""
