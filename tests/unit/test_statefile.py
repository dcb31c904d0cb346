"""The state file is the silicon: private, locked, whole, and refused with a reason when it cannot be used."""

from __future__ import annotations

import itertools
import json
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.flash import MemoryFlash, Moment, PowerCut, Supply, seeded_subset
from firmware_sim.journal import Store
from firmware_sim.oscillator_state import OscillatorState
from firmware_sim.seams import FlashError, PowerLost
from firmware_sim.statefile import StateFile, StateFileError
from firmware_sim.temperature import TemperatureProfile
from firmware_sim.tokenimage import ImageError, TokenImage, from_text, to_text

NOW = 1767225600.25
SECRET = b"12345678901234567890"


def image(**changes: Any) -> TokenImage:
    oscillator = OscillatorState.start(NOW, offset_s="-0.5", rate_error_ppm="2.5", ageing_ppm_per_year=-1)
    return TokenImage(**{"family": "reference", "serial": "SIM00001", "oscillator": oscillator} | changes)


def hex_digits(path: Path) -> str:
    """All of the flash that is in the file, its lines joined."""
    return "".join(itertools.chain.from_iterable(document(path)["flash"]["pages"].values()))


def document(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "token.json"


@pytest.fixture
def made(path: Path) -> Path:
    with StateFile.create(path, image()) as state:
        Store.open(state.flash).commit({1: SECRET})
    return path


@contextmanager
def full_disk() -> Iterator[None]:
    """Every write to a file fails, as on a full disk, but for the first 512 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_token_comes_back_as_it_was_acknowledged(made: Path) -> None:
    with StateFile.open(made, NOW + 100) as state:
        assert (state.family, state.serial) == ("reference", "SIM00001")
        store = Store.open(state.flash)
        assert store.get(1) == SECRET
        assert SECRET.hex() in hex_digits(made)
        state.oscillator.set_device_time(NOW + 100, 1767000000)
        store.commit({1: None, 2: b"other"}, scrub=True)
        oscillator = state.oscillator.state
    assert SECRET.hex() not in hex_digits(made)
    with StateFile.open(made, NOW + 100) as state:
        assert dict(Store.open(state.flash).items()) == {2: b"other"}
        assert state.oscillator.state == oscillator
        assert state.flash.memory.wear == {0: 1}


def test_what_was_not_synced_is_not_on_disk(made: Path) -> None:
    before = made.read_bytes()
    with StateFile.open(made, NOW) as state:
        state.flash.write(4000, b"unsynced")
    assert made.read_bytes() == before


def test_the_file_is_private_says_so_and_diffs_well(made: Path) -> None:
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.with_name("token.json.lock").stat().st_mode) == 0o600
    assert "secrets" in document(made)["warning"]
    before = made.read_text().splitlines()
    with StateFile.open(made, NOW) as state:
        Store.open(state.flash).commit({2: b"x"})
    after = made.read_text().splitlines()
    assert 1 <= len(set(after) - set(before)) <= 3
    assert max(map(len, after)) < 160


def test_a_file_that_others_could_read_is_made_private(made: Path) -> None:
    made.chmod(0o644)
    StateFile.open(made, NOW).close()
    assert stat.S_IMODE(made.stat().st_mode) == 0o600


def test_a_second_simulator_is_refused_and_the_lock_outlives_a_save(made: Path) -> None:
    with StateFile.open(made, NOW) as state:
        Store.open(state.flash).commit({2: b"saved while locked"})
        with pytest.raises(StateFileError, match="in use by another simulator"):
            StateFile.open(made, NOW)
        program = (
            "import sys; from pathlib import Path; from firmware_sim.statefile import StateFile, StateFileError\n"
            "try: StateFile.open(Path(sys.argv[1]), 2e9)\n"
            "except StateFileError as error: print(error)"
        )
        run = subprocess.run(
            [sys.executable, "-c", program, str(made)],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert "in use by another simulator" in run.stdout
    StateFile.open(made, NOW).close()


def test_creating_over_something_is_refused(made: Path) -> None:
    before = made.read_bytes()
    with pytest.raises(StateFileError, match="exists already"):
        StateFile.create(made, image())
    assert made.read_bytes() == before
    StateFile.open(made, NOW).close()


@pytest.mark.parametrize("wrong", [{"serial": ""}, {"serial": "x" * 33}, {"family": "a\x00"}, {"page_size": 100}])
def test_a_token_that_could_not_be_read_again_is_not_created(path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(StateFileError, match="is not created, because the token has a wrong"):
        StateFile.create(path, image(**wrong))
    assert not list(path.parent.iterdir())


def test_creating_where_nothing_can_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(StateFileError, match="nowhere"):
        StateFile.create(tmp_path / "nowhere" / "token.json", image())
    target = tmp_path / "token.json"
    with full_disk(), pytest.raises(StateFileError, match="File too large"):
        StateFile.create(target, image())
    assert not target.exists()
    StateFile.create(target, image()).close()


def test_a_symbolic_link_is_followed_not_replaced(made: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(made)
    with StateFile.open(link, NOW) as state:
        Store.open(state.flash).commit({2: b"x"})
        with pytest.raises(StateFileError, match="in use"):
            StateFile.open(made, NOW)
    assert link.is_symlink()


def test_time_before_the_anchor_is_refused(made: Path) -> None:
    before = made.read_bytes()
    with pytest.raises(StateFileError, match=r"2026-01-01 00:00:00 UTC.*later clock"):
        StateFile.open(made, NOW - 0.000001)
    assert made.read_bytes() == before
    StateFile.open(made, NOW).close()


def test_a_full_disk_fails_the_operation_and_nothing_else(made: Path) -> None:
    before = made.read_bytes()
    with StateFile.open(made, NOW) as state:
        store = Store.open(state.flash)
        pages, oscillator = state.flash.memory.pages, state.oscillator.state
        for scrub in (False, True):
            state.oscillator.set_device_time(NOW + 5, 1)
            with full_disk(), pytest.raises(FlashError, match="File too large"):
                store.commit({1: b"lost"}, scrub=scrub)
            assert made.read_bytes() == before
            assert store.get(1) == SECRET
            assert (state.flash.memory.pages, state.flash.memory.wear) == (pages, {})
            assert state.oscillator.state == oscillator
            assert [file.name for file in sorted(made.parent.iterdir())] == ["token.json", "token.json.lock"]
        state.oscillator.set_device_time(NOW + 6, 2)
        store.commit({2: b"room again"})
        oscillator = state.oscillator.state
        state.oscillator.set_device_time(NOW + 7, 3)
        with full_disk(), pytest.raises(FlashError):
            state.flash.sync()
        assert state.oscillator.state == oscillator
    with StateFile.open(made, NOW + 6) as state:
        assert dict(Store.open(state.flash).items()) == {1: SECRET, 2: b"room again"}
        assert state.oscillator.state == oscillator


def test_a_power_cut_is_written_down_with_the_next_sync(path: Path) -> None:
    supply = Supply()
    with StateFile.create(path, image(), supply=supply) as state:
        store = Store.open(state.flash)
        store.commit({1: SECRET})
        supply.arm(PowerCut(supply.operations, Moment.INSIDE, seeded_subset(1)))
        with pytest.raises(PowerLost):
            store.commit({1: b"torn"})
        with pytest.raises(PowerLost):
            state.flash.sync()
        supply.restore()
        Store.open(state.flash).commit({2: b"x"})
    with StateFile.open(path, NOW) as state:
        assert dict(Store.open(state.flash).items()) == {1: SECRET, 2: b"x"}


def test_what_a_killed_process_left_is_cleaned_up(made: Path) -> None:
    left = made.with_name("token.json.new")
    left.write_text("half a tok")
    with StateFile.open(made, NOW) as state:
        state.flash.sync()
    assert not left.exists()


def test_unknown_top_level_fields_are_kept(made: Path) -> None:
    content = document(made) | {"note": {"room": "B 12", "tags": [1, 2.5, None]}}
    made.write_text(json.dumps(content))
    with StateFile.open(made, NOW) as state:
        state.flash.sync()
    assert document(made) == content


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def edit(data: bytes) -> bytes:
        content = json.loads(data)
        change(content)
        return json.dumps(content).encode()

    return edit


DEEP: Any = []
for _ in range(30):
    DEEP = [DEEP]

BAD: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda data: b" \n", "is empty"),
    "truncated": (lambda data: data[: len(data) // 2], "is damaged or not a state file"),
    "binary": (lambda data: b"\x89PNG\xff", "is not text"),
    "text": (lambda data: b"hello", "line 1, column 1"),
    "array": (lambda data: b"[]", "not a token's state file"),
    "foreign": (lambda data: b'{"name": "x"}', "not a token's state file"),
    "nested": (lambda data: b"[" * 100_000, "is not a state file"),
    "huge number": (lambda data: b"9" * 10_000, "is not a state file"),
    "infinity": (lambda data: b'{"x": 1e999}', "JSON does not know"),
    "nan": (lambda data: b'{"x": NaN}', "JSON does not know"),
    "twice": (lambda data: b'{"x": 1, "x": 2}', "names a field twice"),
    "newer": (edited(lambda d: d.update(version=2)), "has version 2.*use a newer one"),
    "version 0": (edited(lambda d: d.update(version=0)), "never existed"),
    "version text": (edited(lambda d: d.update(version="1")), "no proper version"),
    "no serial": (edited(lambda d: d.pop("serial")), "lacks serial"),
    "long serial": (edited(lambda d: d.update(serial="x" * 33)), "wrong serial"),
    "odd family": (edited(lambda d: d.update(family="a\nb")), "wrong family"),
    "deep note": (edited(lambda d: d.update(note=DEEP)), "nested deeper"),
    "oscillator list": (edited(lambda d: d.update(oscillator=[])), "not an object"),
    "oscillator field": (edited(lambda d: d["oscillator"].update(colour="red")), "colour"),
    "oscillator lacks": (edited(lambda d: d["oscillator"].pop("jitter_us")), "jitter_us"),
    "rate float": (edited(lambda d: d["oscillator"].update(rate_error_ppm=2.5)), "rate_error_ppm"),
    "rate word": (edited(lambda d: d["oscillator"].update(rate_error_ppm="fast")), "'fast' is not a number"),
    "rate huge": (edited(lambda d: d["oscillator"].update(rate_error_ppm="1e999999999")), "1e999999999"),
    "rate zero division": (edited(lambda d: d["oscillator"].update(rate_error_ppm="1/0")), "1/0"),
    "anchor fine": (edited(lambda d: d["oscillator"].update(anchor_true_s="0.0000001")), "microseconds"),
    "battery": (edited(lambda d: d["oscillator"].update(battery="flat")), "battery is 'flat'"),
    "battery list": (edited(lambda d: d["oscillator"].update(battery=[])), "battery"),
    "dead but running": (edited(lambda d: d["oscillator"].update(battery="dead")), "battery is dead"),
    "flag": (edited(lambda d: d["oscillator"].update(time_lost=0)), "time_lost"),
    "seed": (edited(lambda d: d["oscillator"].update(jitter_seed=True)), "jitter_seed"),
    "temperature": (edited(lambda d: d["oscillator"].update(temperature=["hot"])), "temperature"),
    "no temperature": (edited(lambda d: d["oscillator"].update(temperature=[])), "temperature"),
    "flash field": (edited(lambda d: d["flash"].update(banks=2)), "nothing else"),
    "flash null": (edited(lambda d: d.update(flash=None)), "nothing else"),
    "page size": (edited(lambda d: d["flash"].update(page_size=33)), "pages of 33 bytes"),
    "page size text": (edited(lambda d: d["flash"].update(page_size="4096")), "whole numbers"),
    "flash too large": (edited(lambda d: d["flash"].update(page_count=2**31)), "pages of 4096"),
    "page number": (edited(lambda d: d["flash"]["pages"].update({"16": []})), "called '16'"),
    "page number form": (edited(lambda d: d["flash"]["wear"].update({"01": 3})), "called '01'"),
    "wear negative": (edited(lambda d: d["flash"]["wear"].update({"1": -1})), "the wear of page 1"),
    "pages list": (edited(lambda d: d["flash"].update(pages=[])), "by page number"),
    "line short": (edited(lambda d: d["flash"]["pages"]["0"].append("00")), "page 0 is up to 128 lines"),
    "line odd": (edited(lambda d: d["flash"]["pages"]["0"].append("0g" * 32)), "page 0 is up to 128 lines"),
    "too many lines": (edited(lambda d: d["flash"]["pages"].update({"0": ["00" * 32] * 129})), "up to 128 lines"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_by_name_and_not_touched(path: Path, name: str) -> None:
    corrupt, message = BAD[name]
    pages = MemoryFlash()
    Store.open(pages).commit({1: SECRET})
    data = corrupt(to_text(image(pages=pages.pages)).encode())
    path.write_bytes(data)
    with pytest.raises(StateFileError, match=message) as caught:
        StateFile.open(path, NOW)
    assert str(path) in str(caught.value)
    assert SECRET.hex() not in str(caught.value)
    assert path.read_bytes() == data
    assert list(path.parent.iterdir()) == [path]


def test_other_kinds_of_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StateFileError, match="does not exist"):
        StateFile.open(tmp_path / "missing.json", NOW)
    with pytest.raises(StateFileError, match="not a regular file"):
        StateFile.open(tmp_path, NOW)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StateFileError, match="not a regular file"):
        StateFile.open(tmp_path / "pipe", NOW)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(17 * 1024 * 1024)
    with pytest.raises(StateFileError, match="too large"):
        StateFile.open(tmp_path / "large", NOW)
    assert not list(tmp_path.glob("*.lock"))


@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_garbage_never_raises_anything_else(data: bytes) -> None:
    with pytest.raises(ImageError):
        from_text(data)


@given(st.data())
def test_a_damaged_file_is_refused_or_is_another_valid_one(data: st.DataObject) -> None:
    text = bytearray(to_text(image(pages={0: bytes(range(32)) * 128})).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    try:
        again = from_text(bytes(text))
    except ImageError:
        return
    assert from_text(to_text(again).encode()) == again


PAGES = st.dictionaries(st.integers(0, 15), st.binary(max_size=64).map(lambda start: start.ljust(4096, b"\xff")))
OSCILLATORS = st.builds(
    OscillatorState.start,
    st.floats(0, 4e9),
    offset_s=st.decimals(0, 10**6, places=6),
    rate_error_ppm=st.decimals(-200, 200, places=4),
    ageing_ppm_per_year=st.fractions(-5, 5, max_denominator=1000),
    temperature=st.sampled_from(["desk", "pocket", "car", "freezer"]).map(TemperatureProfile.named),
    jitter_us=st.integers(0, 100_000),
    jitter_seed=st.integers(0, 2**64 - 1),
    restart_s=st.none() | st.integers(0, 2**32),
)


@given(
    st.builds(
        TokenImage,
        family=st.just("reference"),
        serial=st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=32),
        oscillator=OSCILLATORS,
        pages=PAGES,
        wear=st.dictionaries(st.integers(0, 15), st.integers(1, 10_000)),
        extra=st.dictionaries(
            st.text(max_size=5).map("note {}".format), st.none() | st.integers() | st.text(max_size=5)
        ),
    )
)
def test_reading_is_the_inverse_of_writing(original: TokenImage) -> None:
    assert from_text(to_text(original).encode()) == original
