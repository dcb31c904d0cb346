"""Every command: its name, where it is ("module:attribute"), and its line in the help.

Strings, so that `provision --help` loads none of them and a command pays only for what it uses.
"""

from __future__ import annotations

TOP = {
    "list": ("provision.cli.listing:list_command", "show the tokens that are plugged in"),
    "info": ("provision.cli.listing:info_command", "show what a token says of itself"),
    "token": ("provision.cli.main:token", "set up, use and retire a token"),
    "ledger": ("provision.cli.main:ledger", "see which token was programmed for whom, and go on"),
    "server": ("provision.cli.main:server", "make, ask and mend an authentication server"),
    "doctor": ("provision.cli.doctor:doctor", "say what keeps tokens from being used, and what mends it"),
    "explain": ("provision.cli.explain_command:explain", "say why somebody's codes are refused, and what to do"),
    "drift": ("provision.cli.main:drift", "say what a token's clock does, and when its codes will be refused"),
    "udev": ("provision.cli.main:udev", "give people access to tokens, on Linux"),
    "demo": ("provision.cli.demo:demo", "show the whole life of a token, on the simulator"),
}

TOKEN = {
    "program": ("provision.cli.program_command:program", "make a token a working second factor"),
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
    "lock": ("provision.cli.token_screen:lock", "lock a token's screen"),
    "unlock": ("provision.cli.token_screen:unlock", "unlock it"),
    "rotate": ("provision.cli.rotate_command:rotate", "give a token in use a new seed and the right time at once"),
    "retire": ("provision.cli.retire_command:retire", "take a token back: close the server's side and its own"),
}

LEDGER = {
    "init": ("provision.cli.ledger_commands:init", "make a ledger and the key that seeds are sealed to"),
    "list": ("provision.cli.ledger_commands:list_command", "list the tokens on record"),
    "show": ("provision.cli.ledger_commands:show", "show a token's record, step by step"),
    "resume": ("provision.cli.program_command:resume", "go on with the job of the token that is plugged in"),
    "export": ("provision.cli.ledger_commands:export", "write the records out as JSON or CSV, without secrets"),
}

SERVER = {
    "init": ("provision.cli.server_commands:init", "make an embedded server"),
    "register": ("provision.cli.server_commands:register", "register a device, its seed given out as otpauth URI"),
    "check": ("provision.cli.server_commands:check", "check a code as a login would"),
    "list": ("provision.cli.server_commands:list_command", "list the devices and their drift"),
    "rename": ("provision.cli.server_commands:rename", "give a device another name"),
    "resync": ("provision.cli.server_commands:resync", "learn a token's drift from two consecutive codes"),
    "disable": ("provision.cli.server_commands:disable", "refuse a device's codes"),
    "enable": ("provision.cli.server_commands:enable", "accept them again"),
    "delete": ("provision.cli.server_commands:delete", "forget a device and its seed"),
    "enrol": ("provision.cli.server_enrol:enrol", "make a device that its person proves"),
    "prove": ("provision.cli.server_enrol:prove", "prove it by its first code"),
    "user": ("provision.cli.main:user", "say who is known, with devices or without"),
    "cutover": ("provision.cli.server_migration:cutover", "say until when there is an old way"),
    "fallback": ("provision.cli.server_migration:fallback", "send somebody to the old way for a while"),
    "report": ("provision.cli.server_migration:report", "tell who has which devices, and who would be locked out"),
    "backup": ("provision.cli.server_copies:backup", "copy it while it is in use"),
    "restore": ("provision.cli.server_copies:restore", "make a server of a backup"),
    "rotate-key": ("provision.cli.server_copies:rotate_key", "seal its seeds under a new key"),
    "serve": ("provision.cli.serve_command:serve", "answer over HTTP"),
    "api-token": ("provision.cli.main:api_token", "say who may come to a server over HTTP"),
}

USER = {
    "add": ("provision.cli.server_people:add", "make people known who have no device yet"),
    "list": ("provision.cli.server_people:list_command", "list who is known"),
    "remove": ("provision.cli.server_people:remove", "forget a person"),
}

API_TOKEN = {
    "create": ("provision.cli.api_token_commands:create", "let somebody in, in one of five roles"),
    "list": ("provision.cli.api_token_commands:list_command", "list who may come"),
    "revoke": ("provision.cli.api_token_commands:revoke", "let somebody in no more"),
}

DRIFT = {
    "estimate": ("provision.cli.drift_commands:estimate", "find all clocks that could have shown what was seen"),
    "predict": ("provision.cli.drift_commands:predict", "say when a server will refuse a token's codes"),
    "measure": ("provision.cli.drift_measure:measure", "measure how fast a connected token's clock runs"),
    "fleet": ("provision.cli.drift_fleet:fleet", "judge all tokens: who fails first, and which batches are at fault"),
    "plot": ("provision.cli.drift_plot:plot", "draw a clock, or a fleet's rates: here, or as SVG, PNG or HTML"),
    "observe": ("provision.cli.drift_observe:observe", "add what a token shows now to its observations"),
    "import": ("provision.cli.drift_import:import_command", "read observations from a server's history, or from CSV"),
    "find-clock": (
        "provision.cli.drift_find:find_clock",
        "find a lost clock from two codes, anywhere from 1970 to 2106",
    ),
}

UDEV = {
    "show": ("provision.cli.udev:show", "print the rules"),
    "install": ("provision.cli.udev:install", "install the rules and their group, and apply them"),
    "check": ("provision.cli.udev:check", "tell whether the rules are installed and current"),
}
