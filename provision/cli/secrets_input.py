"""How secrets come in: hidden prompts and files, `-` being standard input. Never an argument, never the environment."""

from __future__ import annotations

import codecs
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import click

from provision.cli.output import note
from provision.errors import InputError, UsageError
from provision.model import Secret

MAX_FILE = 65536  # bytes: a list of seeds has its own reader
ADMIN_KEY_BYTES = range(16, 65)


class SecretInput:
    """The secrets of one command. Standard input is given away once."""

    def __init__(self) -> None:
        self._stdin_taken = False

    def pin(self, file: str | None, *, prompt: str = "PIN", option: str = "--pin-file") -> Secret:
        """The PIN that a token has."""
        return Secret(self._line(file, prompt, option, confirm=False))

    def new_pin(self, file: str | None, *, option: str = "--new-pin-file") -> Secret:
        """A PIN that a token will have; typed twice."""
        return Secret(self._line(file, "New PIN", option, confirm=True))

    def admin_key(self, file: str | None) -> Secret | None:
        """The organisation's key, or None for the factory's."""
        return None if file is None else self.required_admin_key(file, option="--admin-key-file")

    def token_key(self, file: str) -> Secret:
        """A token's own key or password, as its vendor's tool takes it: one line of text."""
        return Secret(self._line(file, "Key of the token", "--token-key-file", confirm=False))

    def required_admin_key(self, file: str, *, option: str) -> Secret:
        """Hex, 16 to 64 bytes; spaces and line ends do not count. Raises InputError, UsageError."""
        text = self.read(file, option)
        try:
            key = bytes.fromhex(text.decode("ascii"))
        except ValueError:  # its text would show a part of the key
            raise InputError(
                f"the administrator key in {_named(file)} is not hexadecimal",
                hint="write its bytes as pairs of 0-9 a-f",
            ) from None
        if len(key) not in ADMIN_KEY_BYTES:
            raise InputError(
                f"the administrator key in {_named(file)} has {len(key)} bytes",
                hint=f"it has {ADMIN_KEY_BYTES[0]} to {ADMIN_KEY_BYTES[-1]}",
            )
        return Secret(key)

    def line(self, file: str | None, *, prompt: str, option: str, confirm: bool = False) -> str:
        """Any other secret text of one line, a passphrase or a seed: from `file`, or asked for."""
        try:
            return self._line(file, prompt, option, confirm=confirm).decode("utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{_named(file or '-')} is not UTF-8 text") from None

    def line_or_enter(self, prompt: str, *, option: str) -> str:
        """Asked for, where nothing is an answer, too. Raises UsageError."""
        _require_terminal(prompt, option)
        typed: str = click.prompt(prompt, default="", show_default=False, hide_input=True, err=True)
        return typed

    def lines(self, file: str, *, option: str) -> Iterator[str]:
        """The lines of a file, each read when it is wanted: somebody may be typing them."""
        if file != "-":
            yield from self.read(file, option).decode("utf-8", "replace").splitlines()
            return
        stdin = self._take_stdin(option)
        while line := stdin.readline(MAX_FILE):
            yield line.decode("utf-8", "replace").rstrip("\r\n")

    def read(self, file: str, option: str) -> bytes:
        """All of a secret file. Raises InputError, and UsageError when two options want standard input."""
        if file == "-":
            data = self._take_stdin(option).read(MAX_FILE + 1)
        else:
            try:
                with Path(file).open("rb") as stream:
                    _warn_if_open(file, os.fstat(stream.fileno()))
                    data = stream.read(MAX_FILE + 1)
            except OSError as error:
                raise InputError(f"{file} ({option}) cannot be read: {error.strerror}") from None
        if len(data) > MAX_FILE:
            raise InputError(f"{_named(file)} ({option}) is over {MAX_FILE} bytes, which is no secret")
        return data.removeprefix(codecs.BOM_UTF8)  # as Windows' Notepad writes it; it is no part of what was typed

    def _take_stdin(self, option: str) -> BinaryIO:
        """Raises UsageError the second time, InputError where there is none."""
        if self._stdin_taken:
            raise UsageError(f"{option} - and another option both want standard input", hint="give one as a file")
        if sys.stdin is None:
            raise InputError(f"standard input ({option}) is closed", hint="give a file, or leave the option out")
        self._stdin_taken = True
        return sys.stdin.buffer

    def _line(self, file: str | None, prompt: str, option: str, *, confirm: bool) -> bytes:
        if file is None:
            _require_terminal(prompt, option)
            typed: str = click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
            return typed.encode("utf-8", "surrogateescape")
        line = self.read(file, option).removesuffix(b"\n").removesuffix(b"\r")
        if not line or b"\n" in line:
            raise InputError(f"{_named(file)} ({option}) does not hold one line")
        return line


def _require_terminal(prompt: str, option: str) -> None:
    if not has_terminal():
        raise UsageError(f"there is no terminal to ask for: {prompt}", hint=f"give {option} FILE, or - for stdin")


def has_terminal() -> bool:
    """Whether somebody can be asked: a prompt goes to the terminal itself, even when stdin is a pipe."""
    if sys.stdin is not None and sys.stdin.isatty():
        return True
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | getattr(os, "O_NOCTTY", 0)))
    except OSError:
        return False
    return True


def _named(file: str) -> str:
    return "standard input" if file == "-" else file


def _warn_if_open(file: str, status: os.stat_result) -> None:
    if os.name == "posix" and stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
        note(f"warning: {file} holds a secret and others may read it; run: chmod 600 {file}")
