"""How secrets come in: typed at a real terminal without being shown, or from files that are what they should be."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.cli import secrets_input
from provision.cli.secrets_input import MAX_FILE, SecretInput
from provision.errors import InputError, UsageError
from provision.model import Secret

PIN = "314159"


def typed(*lines):
    """Run new_pin() in a process whose terminal is ours, type `lines`; (what it got, what the terminal showed)."""
    program = (
        "from provision.cli.secrets_input import SecretInput; import hashlib;"
        "pin = SecretInput().new_pin(None).reveal(); print('GOT', hashlib.sha256(pin).hexdigest())"
    )
    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=slave, stdout=subprocess.PIPE, stderr=slave, start_new_session=True
    )
    os.close(slave)
    shown = b""
    for line in lines:
        while not shown.rstrip(b" ").endswith(b":"):
            shown += os.read(master, 1024)
        os.write(master, line.encode() + b"\n")
        shown += b"|"
    out, _ = process.communicate(timeout=30)
    os.close(master)
    return out.decode().split(), shown.decode()


def test_a_new_pin_is_typed_twice_and_never_shown():
    import hashlib

    got, shown = typed(PIN, PIN)
    assert got == ["GOT", hashlib.sha256(PIN.encode()).hexdigest()]
    assert "New PIN" in shown
    assert PIN not in shown


@pytest.fixture
def secret_file(tmp_path):
    def write(content):
        path = tmp_path / "secret"
        path.write_bytes(content)
        path.chmod(0o600)
        return str(path)

    return write


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_line_ends_as_its_editor_ended_it(secret_file, end):
    assert SecretInput().pin(secret_file(PIN.encode() + end)) == Secret(PIN.encode())


@pytest.mark.parametrize("content", [b"", b"\n", b"123456\n654321\n", b"123456\n\n"])
def test_a_file_that_is_not_one_line(secret_file, content):
    with pytest.raises(InputError, match="--pin-file") as caught:
        SecretInput().pin(secret_file(content))
    assert "123456" not in str(caught.value)


def test_files_that_cannot_be_secrets(tmp_path, secret_file):
    for path in (str(tmp_path), str(tmp_path / "absent")):
        with pytest.raises(InputError, match="cannot be read"):
            SecretInput().pin(path)
    with pytest.raises(InputError, match="no secret"):
        SecretInput().pin(secret_file(bytes(MAX_FILE + 1)))
    with pytest.raises(InputError, match="UTF-8"):
        SecretInput().line(secret_file(b"\xff\xfe"), prompt="Passphrase", option="--passphrase-file")


def test_standard_input_is_given_away_once(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(PIN.encode())))
    secrets = SecretInput()
    assert secrets.pin("-") == Secret(PIN.encode())
    with pytest.raises(UsageError, match="standard input"):
        secrets.admin_key("-")


def test_standard_input_is_not_cut_to_size(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"1" * (MAX_FILE + 1))))
    with pytest.raises(InputError, match=r"standard input .* is over"):
        SecretInput().read("-", "--otpauth")


def test_nobody_there(monkeypatch):
    monkeypatch.setattr(secrets_input, "has_terminal", lambda: False)
    with pytest.raises(UsageError) as caught:
        SecretInput().pin(None)
    assert "--pin-file" in caught.value.hint


@given(st.binary(min_size=16, max_size=64), st.sampled_from(["", " ", "\n"]))
def test_an_administrator_key_is_hex_in_any_layout(tmp_path_factory, key, gap):
    path = tmp_path_factory.mktemp("key") / "key"
    path.touch(0o600)
    path.write_text(gap.join(f"{octet:02x}" for octet in key) + "\n")
    assert SecretInput().admin_key(str(path)) == Secret(key)
    assert SecretInput().admin_key(None) is None


def test_a_byte_order_mark_is_no_part_of_a_secret(secret_file):
    assert SecretInput().pin(secret_file(b"\xef\xbb\xbf314159\r\n")) == Secret(b"314159")
    assert SecretInput().admin_key(secret_file(b"\xef\xbb\xbf" + b"0f" * 16)) == Secret(b"\x0f" * 16)
