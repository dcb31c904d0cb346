"""The flash obeys physics: 1 -> 0 only, whole pages, wear, and a supply that fails at any instant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.flash import MemoryFlash, Moment, PowerCut, Supply, seeded_subset
from firmware_sim.seams import FlashError, FlashWornOut, PowerLost

PAGE = 16
MOMENTS = st.sampled_from(Moment)


def small(supply: Supply | None = None, wear_limit: int = 100) -> MemoryFlash:
    return MemoryFlash(PAGE, 4, wear_limit=wear_limit, supply=supply)


def content(flash: MemoryFlash) -> bytes:
    return b"".join(flash.page(n) or b"\xff" * PAGE for n in range(flash.page_count))


@given(st.lists(st.tuples(st.integers(0, 4 * PAGE), st.binary(max_size=3 * PAGE))))
def test_writes_only_clear_bits_and_reads_give_them_back(writes: list[tuple[int, bytes]]) -> None:
    flash = small()
    model = bytearray(b"\xff" * 4 * PAGE)
    for address, data in writes:
        old = bytes(model[address : address + len(data)])
        if address + len(data) > len(model) or any(n & ~o for n, o in zip(data, old, strict=True)):
            with pytest.raises(FlashError):
                flash.write(address, data)
        else:
            flash.write(address, data)
            model[address : address + len(data)] = data
        assert content(flash) == model
    for start in range(0, 4 * PAGE, 5):
        for length in (0, 1, PAGE, 4 * PAGE - start):
            if start + length <= 4 * PAGE:
                assert flash.read(start, length) == model[start : start + length]


def test_erasing_sets_one_page_and_takes_its_memory_away() -> None:
    flash = small()
    flash.write(0, bytes(3 * PAGE))
    flash.erase(1)
    assert flash.pages == {0: bytes(PAGE), 2: bytes(PAGE)}
    assert flash.wear == {1: 1}


def test_a_worn_out_page_refuses_and_keeps_its_content() -> None:
    flash = small(wear_limit=2)
    flash.erase(0)
    flash.erase(0)
    flash.write(0, b"kept")
    with pytest.raises(FlashWornOut, match="page 0"):
        flash.erase(0)
    assert flash.read(0, 4) == b"kept"
    flash.erase(1)


@pytest.mark.parametrize(("address", "length"), [(-1, 1), (0, -1), (4 * PAGE, 1), (4 * PAGE - 1, 2)])
def test_addresses_outside_are_refused(address: int, length: int) -> None:
    with pytest.raises(FlashError):
        small().read(address, length)


@pytest.mark.parametrize("page", [-1, 4])
def test_pages_outside_are_refused(page: int) -> None:
    with pytest.raises(FlashError):
        small().erase(page)


@given(
    moment=MOMENTS,
    seed=st.integers(0, 2**32),
    data=st.binary(min_size=1, max_size=2 * PAGE),
    address=st.integers(0, PAGE),
)
def test_a_cut_write_changed_a_subset_of_its_bits(moment: Moment, seed: int, data: bytes, address: int) -> None:
    supply = Supply(PowerCut(0, moment, seeded_subset(seed)))
    flash = small(supply)
    with pytest.raises(PowerLost):
        flash.write(address, data)
    with pytest.raises(PowerLost):
        flash.read(0, 1)
    with pytest.raises(PowerLost):
        flash.sync()
    supply.restore()
    got = flash.read(address, len(data))
    if moment is Moment.BEFORE:
        assert content(flash) == b"\xff" * 4 * PAGE
    elif moment is Moment.AFTER:
        assert got == data
    assert all(g | d == g for g, d in zip(got, data, strict=True))
    assert supply.operations == (moment is not Moment.BEFORE)


@given(moment=MOMENTS, seed=st.integers(0, 2**32), data=st.binary(min_size=PAGE, max_size=PAGE))
def test_a_cut_erase_set_a_subset_of_its_bits_and_wore_the_page(moment: Moment, seed: int, data: bytes) -> None:
    supply = Supply()
    flash = small(supply)
    flash.write(PAGE, data)
    supply.arm(PowerCut(1, moment, seeded_subset(seed)))
    with pytest.raises(PowerLost):
        flash.erase(1)
    supply.restore()
    got = flash.read(PAGE, PAGE)
    assert all(g | d == g for g, d in zip(got, data, strict=True))
    assert flash.wear == ({} if moment is Moment.BEFORE else {1: 1})
    if moment is not Moment.INSIDE:
        assert got == (data if moment is Moment.BEFORE else b"\xff" * PAGE)


@given(st.integers(0, 2**8 - 1))
def test_any_given_subset_can_be_asked_for(mask: int) -> None:
    supply = Supply(PowerCut(0, Moment.INSIDE, lambda changing, bits: changing & mask))
    flash = small(supply)
    with pytest.raises(PowerLost):
        flash.write(0, b"\x00")
    supply.restore()
    assert flash.read(0, 1)[0] == 0xFF ^ mask


def test_seeded_subsets_reach_from_nearly_none_to_nearly_all() -> None:
    every = (1 << 800) - 1
    sizes = [seeded_subset(seed)(every, 800).bit_count() for seed in range(100)]
    assert min(sizes) < 100 < 700 < max(sizes)


def test_a_loaded_chip_is_the_chip_that_was_saved() -> None:
    flash = small(wear_limit=3)
    flash.write(5, b"abc")
    flash.erase(3)
    again = MemoryFlash(PAGE, 4, wear_limit=3, pages=flash.pages, wear=flash.wear)
    assert (again.pages, again.wear) == (flash.pages, flash.wear)
    with pytest.raises(FlashError):
        MemoryFlash(PAGE, 4, pages={4: bytes(PAGE)})
    with pytest.raises(FlashError):
        MemoryFlash(PAGE, 4, pages={0: b"short"})
