"""Seeds at rest, and the key file."""

from __future__ import annotations

import errno
import os
import random
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.errors import Unreachable
from provision.model import Algorithm, OathType, OtpParameters, Secret
from provision.servers.embedded.keys import KEY_BYTES, SeedKeys, create_key, key_of, key_path, load_key

parameters = st.builds(
    OtpParameters,
    st.sampled_from(OathType),
    st.sampled_from(Algorithm),
    st.integers(6, 8),
    st.integers(1, 3600),
    st.integers(0, 2**40),
    st.integers(0, 2**40),
)
masters = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)
secrets = st.binary(min_size=1, max_size=128)


def keys(master: bytes = bytes(KEY_BYTES), seed: int = 1) -> SeedKeys:
    return SeedKeys(master, random.Random(seed).randbytes)


@given(masters, secrets, st.uuids(), parameters)
def test_a_sealed_seed_opens(master: bytes, secret: bytes, device: object, of: OtpParameters) -> None:
    sealed = keys(master).seal(Secret(secret), str(device), of)
    assert keys(master, seed=2).unseal(sealed, str(device), of) == Secret(secret)
    assert len(sealed) == 12 + len(secret) + 16


@given(secrets, parameters, st.data())
def test_any_change_is_noticed(secret: bytes, of: OtpParameters, data: st.DataObject) -> None:
    sealed = bytearray(keys().seal(Secret(secret), "a", of))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Unreachable, match="device a"):
        keys().unseal(bytes(sealed), "a", of)


@given(st.data())
def test_any_part_of_a_sealed_seed_is_not_enough(data: st.DataObject) -> None:
    sealed = keys().seal(Secret(b"12345678901234567890"), "a", OtpParameters())
    with pytest.raises(Unreachable):
        keys().unseal(sealed[: data.draw(st.integers(0, len(sealed) - 1))], "a", OtpParameters())


def test_a_seed_opens_for_its_own_device_and_parameters_only() -> None:
    of = OtpParameters()
    sealed = keys().seal(Secret(b"12345678901234567890"), "a", of)
    with pytest.raises(Unreachable):
        keys().unseal(sealed, "b", of)
    for other in (
        replace(of, oath_type=OathType.HOTP),
        replace(of, algorithm=Algorithm.SHA256),
        replace(of, digits=8),
        replace(of, time_step_s=60),
        replace(of, t0_s=1),
        replace(of, counter=1),
    ):
        with pytest.raises(Unreachable):
            keys().unseal(sealed, "a", other)
    with pytest.raises(Unreachable):
        keys(b"\x01" * KEY_BYTES).unseal(sealed, "a", of)


def test_the_same_seed_is_sealed_differently_each_time() -> None:
    mine = keys()
    assert mine.seal(Secret(b"x"), "a", OtpParameters()) != mine.seal(Secret(b"x"), "a", OtpParameters())


@given(secrets, secrets, masters)
def test_fingerprints_tell_seeds_apart_under_one_key(one: bytes, other: bytes, master: bytes) -> None:
    mine = keys(master)
    assert (mine.fingerprint(Secret(one)) == mine.fingerprint(Secret(other))) == (one == other)
    if master != bytes(KEY_BYTES):
        assert mine.fingerprint(Secret(one)) != keys().fingerprint(Secret(one))


def test_a_key_file_is_private_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "server.db.key"
    master = create_key(path, random.Random(1).randbytes)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_key(path) == master
    with pytest.raises(FileExistsError):
        create_key(path, random.Random(2).randbytes)
    assert load_key(path) == master


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "server.db.key"
    create_key(path, random.Random(1).randbytes)
    path.chmod(0o640)
    with pytest.raises(Unreachable, match=r"chmod 600 .*server\.db\.key"):
        load_key(path)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_file_of_another_size_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "server.db.key"
    path.touch(mode=0o600)
    path.write_bytes(bytes(size))
    with pytest.raises(Unreachable, match="not a key file"):
        load_key(path)


def test_a_key_file_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="is missing"):
        load_key(tmp_path / "nothing")
    with pytest.raises(Unreachable, match="cannot be read"):
        load_key(tmp_path)


def test_the_key_is_read_where_nothing_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def on_a_read_only_file_system(source: Path, target: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))  # whether the source is there or not

    database = tmp_path / "server.db"
    master = create_key(key_path(database), os.urandom)
    monkeypatch.setattr(os, "replace", on_a_read_only_file_system)
    assert key_of(database, keys(master).check_value) == master
