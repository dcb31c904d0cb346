"""The command line: the only place of `provision` that imports click, prints or exits.

commands.py is the table of all commands; a command's own module loads when it runs.
"""
