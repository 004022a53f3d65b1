"""What you see and type: options, the command line, the loop> prompt, rendering."""
