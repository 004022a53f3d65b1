"""One module per command: what belongs to it at the loop> prompt, and to `loop NAME`.

A new command is one module here and its name in one list or both: shell/at_prompt.py, shell/one_shot.py.
"""
