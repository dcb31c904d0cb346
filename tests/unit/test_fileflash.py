"""A flash with a file behind it: a sync that succeeds is kept, one that fails takes back all since the last."""

from __future__ import annotations

import contextlib
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.fileflash import FileFlash
from firmware_sim.flash import MemoryFlash
from firmware_sim.seams import FlashError

PAGE = 16
WRITES = st.tuples(st.just("write"), st.integers(0, 4 * PAGE), st.binary(max_size=3 * PAGE))
OPERATIONS = (
    WRITES
    | st.tuples(st.just("erase"), st.integers(0, 4), st.none())
    | st.tuples(st.just("sync"), st.booleans(), st.none())
)


@given(st.lists(OPERATIONS, max_size=30))
def test_memory_is_never_ahead_of_a_failed_sync(
    operations: list[tuple[Literal["write", "erase", "sync"], int, bytes]],
) -> None:
    memory = MemoryFlash(PAGE, 4, wear_limit=3)
    full = False
    saved: tuple[dict[int, bytes], dict[int, int]] = ({}, {})

    def save() -> None:
        nonlocal saved
        if full:
            raise OSError(28, "No space left on device")
        saved = (memory.pages, memory.wear)

    flash = FileFlash(memory, save)
    for name, where, data in operations:
        if name == "sync":
            full = bool(where)
            before = saved
            if full:
                with pytest.raises(FlashError, match="No space left"):
                    flash.sync()
                assert saved == before
            else:
                flash.sync()
            assert (memory.pages, memory.wear) == saved
        else:
            with contextlib.suppress(FlashError):
                if name == "write":
                    flash.write(where, data)
                else:
                    flash.erase(where)
            assert flash.read(0, 4 * PAGE) == memory.read(0, 4 * PAGE)
