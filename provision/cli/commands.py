"""Every command: its name, where it is ("module:attribute"), and its line in the help.

Strings, so that `provision --help` loads none of them and a command pays only for what it uses.
"""

from __future__ import annotations

TOP = {
    "list": ("provision.cli.listing:list_command", "show the tokens that are plugged in"),
    "info": ("provision.cli.listing:info_command", "show what a token says of itself"),
    "token": ("provision.cli.main:token", "set up, use and retire a token"),
}

TOKEN = {
    "set-pin": ("provision.cli.token_pin:set_pin", "give a token its first PIN"),
    "change-pin": ("provision.cli.token_pin:change_pin", "replace the PIN by a new one"),
    "unblock": ("provision.cli.token_pin:unblock", "give a blocked token its PIN attempts back"),
    "set-admin-key": ("provision.cli.token_pin:set_admin_key", "replace the administrator's keys on a token"),
    "set-time": ("provision.cli.token_clock:set_time", "set a token's clock, and say how well"),
    "verify": ("provision.cli.token_credentials:verify", "prove that a token's PIN, clock and seed work"),
    "code": ("provision.cli.token_credentials:code", "show a code of a credential"),
    "credentials": ("provision.cli.token_credentials:credentials", "list the credentials on a token"),
    "rename": ("provision.cli.token_credentials:rename", "rename a token, or a credential on it"),
    "delete": ("provision.cli.token_credentials:delete", "delete a credential from a token"),
    "wipe": ("provision.cli.token_credentials:wipe", "reset a token to its factory state"),
}
