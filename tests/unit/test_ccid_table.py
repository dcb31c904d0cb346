"""libccid's table of readers: what is added, what stays, and what is not touched at all."""

from __future__ import annotations

import plistlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.cli import ccid_table
from provision.cli.ccid_table import Reader, extended, mend, numbers
from provision.cli.main import main
from provision.errors import InputError

TABLE = b"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
\t<key>ifdDriverOptions</key>
\t<string>0x0000</string>
\t<!-- Possible values for ifdDriverOptions: see the manual -->

\t<key>ifdVendorID</key>
\t<array>
\t\t<string>0x08E6</string>
\t\t<string>0x1050</string>
\t</array>

\t<key>ifdProductID</key>
\t<array>
\t\t<string>0x2202</string>
\t\t<string>0x0407</string>
\t</array>

\t<key>ifdFriendlyName</key>
\t<array>
\t\t<string>Gem e-Seal Pro</string>
\t\t<string>Yubico YubiKey OTP+FIDO+CCID</string>
\t</array>
</dict>
</plist>
"""
TOKEN = Reader(0x1209, 0x0001, "hwtoken reference token")

readers = st.builds(
    Reader,
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFF),
    st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1, max_size=30).map(str.strip),
)


def test_an_entry_is_added_to_the_text() -> None:
    added = extended(TABLE, [TOKEN])
    assert numbers(added) == [(0x08E6, 0x2202), (0x1050, 0x0407), (0x1209, 0x0001)]
    assert plistlib.loads(added)["ifdFriendlyName"][-1] == "hwtoken reference token"
    kept = [
        line for line in added.splitlines() if b"1209" not in line and b"0x0001" not in line and b"hwtoken" not in line
    ]
    assert kept == TABLE.splitlines()


def test_what_is_there_already_is_not_added_again() -> None:
    once = extended(TABLE, [TOKEN])
    assert extended(once, [TOKEN, Reader(0x1050, 0x0407, "YubiKey")]) == once


@given(st.lists(readers, max_size=4, unique_by=lambda reader: (reader.idVendor, reader.idProduct)))
def test_any_readers_come_to_stand_in_it_once(added: list[Reader]) -> None:
    result = extended(TABLE, added)
    assert numbers(result)[:2] == numbers(TABLE)
    assert set(numbers(result)) == set(numbers(TABLE)) | {(reader.idVendor, reader.idProduct) for reader in added}
    assert len(numbers(result)) == len(set(numbers(result)))
    assert extended(result, added) == result


@given(st.binary(max_size=60), st.integers(0, len(TABLE)), st.integers(0, 40))
def test_a_damaged_table_is_refused_or_stays_readable(junk: bytes, at: int, cut: int) -> None:
    try:
        result = extended(TABLE[:at] + junk + TABLE[at + cut :], [TOKEN])
    except InputError:
        return
    assert (0x1209, 0x0001) in numbers(result)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not xml",
        b"<plist version='1.0'><array/></plist>",
        TABLE.replace(b"\t\t<string>0x0407</string>\n", b""),
        TABLE.replace(b"<string>0x0407</string>", b"<integer>1031</integer>"),
        TABLE.replace(b"0x0407", b"four"),
        TABLE.replace(b"<key>ifdVendorID</key>", b"<key >ifdVendorID</key>"),
    ],
)
def test_what_is_no_table(content: bytes) -> None:
    with pytest.raises(InputError):
        extended(content, [TOKEN])


def test_mend_keeps_the_file_as_it_was(tmp_path: Path) -> None:
    path, link = tmp_path / "libccid_Info.plist", tmp_path / "Info.plist"
    path.write_bytes(TABLE)
    path.chmod(0o644)
    link.symlink_to(path)
    assert mend(link, [TOKEN])
    assert numbers(path.read_bytes())[-1] == (0x1209, 0x0001)
    assert path.stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "libccid_Info.plist.orig").read_bytes() == TABLE
    assert not mend(link, [TOKEN])
    assert mend(link, [Reader(1, 2, "another")])
    assert (tmp_path / "libccid_Info.plist.orig").read_bytes() == TABLE, "the distribution's, not ours of before"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["Info.plist", path.name, f"{path.name}.orig"]


def test_doctor_mends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "etc/libccid_Info.plist"
    monkeypatch.setattr(ccid_table, "find", lambda root: path if path.exists() else None)
    assert main(["doctor", "--mend", "ccid-plist"]) == 3
    assert "apt-get install pcscd libccid" in capsys.readouterr().err
    path.parent.mkdir()
    path.write_bytes(TABLE)
    assert main(["doctor", "--mend", "ccid-plist"]) == 0
    assert "restart pcscd" in capsys.readouterr().out
    assert (0x1209, 0x0001) in numbers(path.read_bytes())
    assert main(["doctor", "--mend", "ccid-plist"]) == 0
    assert "every token is in it" in capsys.readouterr().out

    def refuse(*_: object) -> bool:
        raise PermissionError

    monkeypatch.setattr(ccid_table, "mend", refuse)
    assert main(["doctor", "--mend", "ccid-plist"]) == 3
    assert "hint: run: sudo " in capsys.readouterr().err


def test_it_is_found_where_each_system_has_it(tmp_path: Path) -> None:
    assert ccid_table.find(tmp_path) is None
    fedora = tmp_path / "usr/lib64/pcsc/drivers/ifd-ccid.bundle/Contents/Info.plist"
    fedora.parent.mkdir(parents=True)
    fedora.touch()
    assert ccid_table.find(tmp_path) == fedora
