"""The journal against a dict: whatever the power does, the old state or the new one, and the next commit works."""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from firmware_sim.flash import MemoryFlash, Moment, PowerCut, Subset, Supply, no_bit, seeded_subset
from firmware_sim.journal import Store, StoreCorrupt, StoreFull
from firmware_sim.seams import FlashError, FlashWornOut, PowerLost

PAGE = 64
PAGES = 8  # two banks of 256 bytes: a handful of commits fills one
Changes = dict[int, bytes | None]

KEYS = st.integers(0, 5) | st.integers(0, 0xFFFF)
VALUES = st.binary(max_size=24)
CHANGES = st.dictionaries(KEYS, st.none() | VALUES, max_size=3)
CUTS = st.builds(
    PowerCut,
    operation=st.integers(0, 12),
    moment=st.sampled_from(Moment),
    subset=st.integers(0, 2**64).map(seeded_subset),
)


def small(**options: object) -> MemoryFlash:
    return MemoryFlash(PAGE, PAGES, **options)  # type: ignore[arg-type]  # options are MemoryFlash's own


def applied(state: dict[int, bytes], changes: Changes) -> dict[int, bytes]:
    new = state | {key: value for key, value in changes.items() if value is not None}
    return {key: value for key, value in new.items() if changes.get(key, value) is not None}


def raw(flash: MemoryFlash) -> bytes:
    return b"".join(flash.pages.values())


class StoreMachine(RuleBasedStateMachine):
    """A store that commits, fills up, is remounted and loses power, beside a plain dict."""

    def __init__(self) -> None:
        super().__init__()
        self.supply = Supply()
        self.flash = small(supply=self.supply, wear_limit=10**6)
        self.store = Store.open(self.flash)
        self.model: dict[int, bytes] = {}

    def attempt(self, changes: Changes, scrub: bool) -> None:
        """Commit; a full store must have changed nothing."""
        try:
            self.store.commit(changes, scrub=scrub)
        except StoreFull:
            size = sum(4 + len(value) for value in applied(self.model, changes).values())
            assert size > PAGE * PAGES // 2 - 40
        else:
            self.model = applied(self.model, changes)

    @rule(changes=CHANGES, scrub=st.booleans())
    def commit(self, changes: Changes, scrub: bool) -> None:
        self.attempt(changes, scrub)

    @rule()
    def remount(self) -> None:
        self.store = Store.open(self.flash)

    @rule(changes=CHANGES, scrub=st.booleans(), cut=CUTS)
    def commit_and_lose_power(self, changes: Changes, scrub: bool, cut: PowerCut) -> None:
        before = dict(self.model)
        self.supply.arm(PowerCut(self.supply.operations + cut.operation, cut.moment, cut.subset))
        try:
            self.attempt(changes, scrub)
        except PowerLost:
            self.supply.restore()
            self.store = Store.open(self.flash)
            got = dict(self.store.items())
            assert got in (before, applied(before, changes))
            self.model = got
        self.supply.restore()

    @rule(cuts=st.lists(CUTS, min_size=1, max_size=4))
    def lose_power_while_mounting(self, cuts: list[PowerCut]) -> None:
        for cut in cuts:
            self.supply.arm(PowerCut(self.supply.operations + cut.operation, cut.moment, cut.subset))
            try:
                self.store = Store.open(self.flash)
            except PowerLost:
                self.supply.restore()
        self.supply.restore()
        self.store = Store.open(self.flash)

    @invariant()
    def agrees(self) -> None:
        assert list(self.store.items()) == sorted(self.model.items())

    @precondition(lambda self: len(self.model) > 0)
    @rule(data=st.data())
    def get(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.model)))
        assert self.store.get(key) == self.model[key]


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


SUBSETS: list[Subset] = [
    no_bit,
    lambda changing, bits: changing,
    lambda changing, bits: changing >> bits // 2 << bits // 2,  # the first half only
    lambda changing, bits: changing & ((1 << bits // 2) - 1),  # the second half only
    *map(seeded_subset, range(8)),
]


def sweep(prepare: Callable[[Store], None], act: Callable[[Store], None]) -> int:
    """Cut every flash operation of `act` at every moment, and each recovery at each of *its* operations, too.

    Returns the number of cuts. Checks: old state or new one; after that a commit works and survives a remount.
    """

    def fresh() -> tuple[MemoryFlash, Store]:
        flash = small()
        store = Store.open(flash)
        prepare(store)
        return flash, store

    flash, store = fresh()
    old = dict(store.items())
    start = flash.supply.operations
    act(store)
    new = dict(store.items())
    count = flash.supply.operations - start
    assert count > 0
    cuts = 0
    for n, moment in itertools.product(range(count), Moment):
        for subset in SUBSETS if moment is Moment.INSIDE else [no_bit]:
            flash, store = fresh()
            flash.supply.arm(PowerCut(start + n, moment, subset))
            with pytest.raises(PowerLost):
                act(store)
            for again in itertools.count():
                torn = MemoryFlash(PAGE, PAGES, pages=flash.pages, wear=flash.wear)
                torn.supply.arm(PowerCut(again, Moment.INSIDE, subset))
                cuts += 1
                try:
                    store = Store.open(torn)
                except PowerLost:
                    torn.supply.restore()
                    store = Store.open(torn)
                    assert dict(store.items()) in (old, new)
                else:
                    break
            torn.supply.restore()
            got = dict(store.items())
            assert got in (old, new)
            store.commit({77: b"afterwards"})
            assert dict(Store.open(torn).items()) == got | {77: b"afterwards"}
    return cuts


def fill(store: Store) -> None:
    """Leave room for less than one more record in the bank."""
    store.commit({1: b"first", 2: b"second"})
    for n in range(7):
        store.commit({3: b"number %02d........." % n})


def test_every_cut_of_an_append() -> None:
    assert sweep(lambda store: store.commit({1: b"old"}), lambda store: store.commit({1: b"new", 2: b"more"})) >= 14


def test_every_cut_of_a_compaction() -> None:
    cuts = sweep(fill, lambda store: store.commit({1: None, 4: b"the record that does not fit"}))
    assert cuts > 100


def test_every_cut_of_a_scrub() -> None:
    assert sweep(fill, lambda store: store.commit({2: None}, scrub=True)) > 100


def test_every_cut_of_a_compaction_onto_a_dirty_bank() -> None:
    """As above, after the bank to be written was left half-erased by an earlier cut, and then the second compaction."""

    def act(store: Store) -> None:
        for n in range(12):
            store.commit({4: b"again %d ........................" % n})

    flash = small()
    store = Store.open(flash)
    fill(store)
    before = flash.supply.operations
    act(store)
    operations = flash.supply.operations - before
    for n, subset in itertools.product(range(operations), SUBSETS):
        flash = small()
        store = Store.open(flash)
        fill(store)
        flash.supply.arm(PowerCut(before + n, Moment.INSIDE, subset))
        with pytest.raises(PowerLost):
            act(store)
        flash.supply.restore()
        store = Store.open(flash)
        act(store)
        assert dict(Store.open(flash).items()) == {
            1: b"first",
            2: b"second",
            3: b"number 06.........",
            4: b"again 11 ........................",
        }


def test_every_cut_of_the_first_mount() -> None:
    for moment, subset in itertools.product(Moment, SUBSETS):
        flash = small(supply=Supply(PowerCut(0, moment, subset)))
        with pytest.raises(PowerLost):
            Store.open(flash)
        flash.supply.restore()
        store = Store.open(flash)
        assert list(store.items()) == []
        store.commit({1: b"works"})
        assert Store.open(flash).get(1) == b"works"


def test_a_torn_tail_is_not_appended_to() -> None:
    """A record inside a torn value must not come to life once a shorter record was put before it."""
    flash = small()
    store = Store.open(flash)
    salt = struct.pack(">II", 1, 12 + 6 + 4)  # where the planted record would lie after an append of 4 bytes
    planted = struct.pack(">HH", 9, 4) + b"evil"
    image = struct.pack(">HI", len(planted), zlib.crc32(planted, zlib.crc32(salt))) + planted
    torn_header_only = 8 * (6 + 4)  # the record's own first bytes stay erased, the value lands
    flash.supply.arm(
        PowerCut(
            flash.supply.operations,
            Moment.INSIDE,
            lambda changing, bits: changing & ((1 << (bits - torn_header_only)) - 1),
        )
    )
    with pytest.raises(PowerLost):
        store.commit({1: image})
    flash.supply.restore()
    store = Store.open(flash)
    store.commit({2: b""})
    assert dict(Store.open(flash).items()) == {2: b""}


def test_a_scrubbed_value_is_physically_gone() -> None:
    flash = small()
    store = Store.open(flash)
    store.commit({1: b"a secret seed", 2: b"stays"})
    store.commit({1: None})
    assert b"a secret seed" in raw(flash)
    store.commit({}, scrub=True)
    assert b"secret" not in raw(flash)
    store.commit({2: b"replaced"}, scrub=True)
    assert b"stays" not in raw(flash)
    assert dict(Store.open(flash).items()) == {2: b"replaced"}


def test_compaction_takes_deleted_values_with_it() -> None:
    flash = small()
    store = Store.open(flash)
    store.commit({1: b"a secret seed"})
    store.commit({1: None})
    wear = flash.wear
    n = 0
    while flash.wear == wear:
        store.commit({2: b"%03d" % n})
        n += 1
    assert b"secret" not in raw(flash)


def test_a_full_store_refuses_and_keeps_what_it_has() -> None:
    store = Store.open(small())
    store.commit({1: bytes(100), 2: bytes(60)})
    for changes in ({3: bytes(90)}, {3: bytes(70_000)}, {3: bytes(300), 1: None}):
        with pytest.raises(StoreFull):
            store.commit(changes)
    assert dict(store.items()) == {1: bytes(100), 2: bytes(60)}
    for n in range(50):  # replacing needs no more room than there is
        store.commit({1: n.to_bytes() * 100})
    store.commit({2: None, 3: bytes(60)})


def test_a_worn_out_flash_stays_readable_and_can_still_forget() -> None:
    flash = small(wear_limit=3)
    store = Store.open(flash)
    written = 0
    worn_out = False
    while not worn_out:
        try:
            store.commit({1: b"counter %04d" % (written + 1)})
            written += 1
        except FlashWornOut:
            worn_out = True
    assert written > 50
    assert store.get(1) == b"counter %04d" % written
    assert Store.open(flash).get(1) == b"counter %04d" % written
    assert b"counter %04d" % (written - 30) not in raw(flash)


def test_wiping_blacks_out_pages_that_cannot_be_erased() -> None:
    flash = small(wear_limit=0)
    store = Store.open(flash)
    store.commit({1: b"a secret seed"})
    store.commit({1: None}, scrub=True)  # the other bank is fresh, so this needs no erase
    assert b"secret" not in raw(flash)
    assert list(Store.open(flash).items()) == []
    with pytest.raises(FlashWornOut):
        store.commit({2: b"x"}, scrub=True)
    store.commit({2: b"x"})
    assert Store.open(flash).get(2) == b"x"


def test_a_failed_sync_changes_nothing_and_the_next_commit_works() -> None:
    class NoRoom(MemoryFlash):
        """A disk-backed flash on a full disk: sync fails and takes everything since the last one back."""

        full = False
        saved: dict[int, bytes]

        def sync(self) -> None:
            if self.full:
                for n in range(PAGES):
                    self.put_page(n, self.saved.get(n), 0)
                raise FlashError("no space left")
            self.saved = self.pages

    for scrub in (False, True):
        flash = NoRoom(PAGE, PAGES)
        store = Store.open(flash)
        store.commit({1: b"old"})
        flash.full = True
        with pytest.raises(FlashError):
            store.commit({1: b"new"}, scrub=scrub)
        assert store.get(1) == b"old"
        assert dict(Store.open(flash).items()) == {1: b"old"}
        flash.full = False
        store.commit({2: b"next"})
        assert dict(Store.open(flash).items()) == {1: b"old", 2: b"next"}


def test_a_flash_that_is_not_ours_is_left_alone() -> None:
    flash = small()
    flash.write(100, b"somebody else's data")
    before = flash.pages
    with pytest.raises(StoreCorrupt):
        Store.open(flash)
    assert flash.pages == before


@pytest.mark.parametrize("payload", [b"\x00", b"\x00\x01\x00\x09short"])
def test_a_wrong_record_under_a_right_checksum_is_named(payload: bytes) -> None:
    flash = small()
    Store.open(flash)
    crc = zlib.crc32(payload, zlib.crc32(struct.pack(">II", 1, 12)))
    flash.write(12, struct.pack(">HI", len(payload), crc) + payload)
    with pytest.raises(StoreCorrupt):
        Store.open(flash)


def test_the_reference_chip_holds_what_the_token_needs() -> None:
    flash = MemoryFlash()
    store = Store.open(flash)
    for n in range(64):
        store.commit({n: bytes([n]) * 200})
    store.commit({n: bytes([n]) * 1024 for n in range(100, 104)})
    assert len(dict(Store.open(flash).items())) == 68
