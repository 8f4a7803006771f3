"""The command line: one file per group of commands, all listed in `main.py`.

Commands import what they need inside their function, so that `osteon --help` stays fast.
"""
