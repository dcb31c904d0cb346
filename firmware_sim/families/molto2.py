"""Token2's Molto2v2: 100 profiles behind a customer key, a clock that is set over USB, codes on a screen.

Bytes and sources: provision/wire/molto2.py. What the vendor's specification leaves open is marked INFERRED here, and
listed in docs/families/molto2.md. Its codes never leave by wire: the person's side is in molto2_panel.py.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace

from firmware_sim.core.chip import Board
from firmware_sim.core.family import CCID, Family, FlashGeometry, Limits
from firmware_sim.core.machine import Lifecycle
from firmware_sim.core.refusal import Refused
from firmware_sim.core.view import View
from firmware_sim.families.molto2_panel import Molto2Panel
from firmware_sim.families.molto2_profiles import CustomerKey, Profiles, StoreKey
from firmware_sim.families.sm4_dialogue import OK, Sm4Chip, Sm4Dialogue
from provision.wire import molto2, sm4_secure
from provision.wire.apdu import Command, Sw

QUEUES = "confirmations-queued"  # 9060 rather than 9000 to what waits for the button (keyroost, seen on hardware)
KEYLESS_DELETE = "delete-without-key"  # DELETE needs no session (keyroost, seen on hardware; against the specification)
LOCKS_FROM = (2, 1, 0)  # firmware from which the screen can be locked (specification, section 5.5)


class Molto2Chip(Sm4Chip):
    """`profiles`, `key`: what is in flash."""

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self.profiles = Profiles(self.store, room=self.family.limits.credentials)
        self.key = CustomerKey(self.store, tries=self.family.limits.pin_attempts)
        self.panel: Molto2Panel = Molto2Panel(self)
        self._dialogues: weakref.WeakSet[Molto2Dialogue] = weakref.WeakSet()

    def dialogue(self, abandon: Callable[[], None]) -> Molto2Dialogue:
        dialogue = Molto2Dialogue(self)
        self._dialogues.add(dialogue)
        return dialogue

    @property
    def screen_locked(self) -> bool:
        return self.store.get(StoreKey.SCREEN_LOCKED) is not None

    def lock_screen(self, *, locked: bool) -> None:
        self.store.commit({StoreKey.SCREEN_LOCKED: b"\x01" if locked else None})

    def change_key(self, key: bytes) -> None:
        """Whoever authenticated with the old one has to do it again (INFERRED)."""
        self.key.replace(key)
        self._end_sessions()

    def factory_reset(self) -> None:
        """Erase profiles, key, tries and lock, in one commit and physically."""
        self.store.commit({**self.profiles.erasure(), **self.key.erasure(), StoreKey.SCREEN_LOCKED: None}, scrub=True)
        self.profiles = Profiles(self.store, room=self.family.limits.credentials)
        self._end_sessions()

    def describe(self, view: View) -> None:
        view["lifecycle"] = (Lifecycle.FACTORY if self.key.is_default else Lifecycle.OWNED).value
        view["attempts_remaining"] = self.key.tries_left
        view["credentials"] = [profile.view() for profile in self.profiles if profile.seed]

    def _end_sessions(self) -> None:
        for dialogue in self._dialogues:
            dialogue.authenticated = False


class Molto2Dialogue(Sm4Dialogue):
    def __init__(self, chip: Molto2Chip) -> None:
        super().__init__(chip.random)
        self._chip = chip

    def _plain(self, command: Command) -> bytes:
        run = _PLAIN.get(command.ins)
        if run is None:
            raise Refused(Sw.INS_NOT_SUPPORTED)
        return run(self, command)

    def _secure(self, command: Command) -> bytes:
        run = _SECURE.get(command.ins)
        if run is None:
            raise Refused(Sw.INS_NOT_SUPPORTED)
        self._require_session()
        if not sm4_secure.is_genuine(self._chip.key.value, command):
            self.authenticated = False
            raise Refused(Sw.INCORRECT_SM_DATA)
        run(self, command._replace(data=command.data[: -sm4_secure.MAC_SIZE]))
        return self._queued() if command.ins == molto2.Ins.CUSTOMER_KEY else OK

    def _require_session(self) -> None:
        if not self.authenticated:
            raise Refused(Sw.SECURITY_STATUS_NOT_SATISFIED)

    def _queued(self) -> bytes:
        return molto2.QUEUED.to_bytes(2, "big") if QUEUES in self._chip.family.quirks else OK

    def _number(self, command: Command) -> int:
        """Raises Refused (6A86) for a profile that there is not."""
        if command.p2 >= self._chip.profiles.room:
            raise Refused(Sw.INCORRECT_P1_P2)
        return command.p2

    # Plain commands

    def _info(self, command: Command) -> bytes:
        if not molto2.is_public_data(command):
            if command.data or command.p2:
                raise Refused(Sw.WRONG_DATA)
            return sm4_secure.Info(self._chip.serial, self._chip.told_seconds()).encode() + OK
        if command.le is not None:
            raise Refused(molto2.BAD_LE)
        profile = self._chip.profiles[self._number(command)]
        return profile.public(self._chip.told_seconds()).encode() + OK

    def _give_challenge(self, command: Command) -> bytes:
        if command.p1 != sm4_secure.CHALLENGE_P1:
            raise Refused(Sw.INCORRECT_P1_P2)
        return self._new_challenge() + OK

    def _authenticate(self, command: Command) -> bytes:
        if len(command.data) != sm4_secure.BLOCK_SIZE:
            raise Refused(Sw.WRONG_LENGTH)
        self._chip.key.check(self._take_challenge(), command.data)
        self.authenticated = True
        return OK

    def _delete(self, command: Command) -> bytes:
        if KEYLESS_DELETE not in self._chip.family.quirks:
            self._require_session()
        self._chip.profiles.clear_seed(self._number(command))
        return OK

    def _screen(self, command: Command) -> bytes:
        if self._chip.family.firmware < LOCKS_FROM:
            raise Refused(Sw.INS_NOT_SUPPORTED)
        if (command.p1, command.p2) != molto2.SCREEN_P1_P2:
            raise Refused(Sw.INCORRECT_P1_P2)
        if command.data not in (b"", molto2.UNLOCK):
            raise Refused(Sw.WRONG_DATA)
        self._require_session()
        self._chip.lock_screen(locked=not command.data)
        return OK

    def _factory_reset(self, command: Command) -> bytes:
        self._chip.panel.propose("factory reset", self._chip.factory_reset)
        return self._queued()

    # Secure commands, their MAC checked and cut

    def _seed(self, command: Command) -> None:
        self._chip.profiles.write_seed(self._number(command), sm4_secure.seed_in(self._chip.key.value, command.data))

    def _title(self, command: Command) -> None:
        self._chip.profiles.write_title(self._number(command), molto2.title_in(self._chip.key.value, command.data))

    def _config(self, command: Command) -> None:
        if command.p1 != molto2.CONFIG_P1:
            raise Refused(Sw.INCORRECT_P1_P2)
        config = molto2.decode_config(command.data)
        number = self._number(command)
        self._chip.set_device_time(config.seconds)
        self._chip.profiles.configure(number, config)

    def _customer_key(self, command: Command) -> None:
        new = molto2.new_key_in(self._chip.key.value, command.data)
        self._chip.panel.propose("new key", lambda: self._chip.change_key(new))


_PLAIN: dict[int, Callable[[Molto2Dialogue, Command], bytes]] = {
    sm4_secure.Ins.INFO: Molto2Dialogue._info,
    sm4_secure.Ins.CHALLENGE: Molto2Dialogue._give_challenge,
    sm4_secure.Ins.AUTHENTICATE: Molto2Dialogue._authenticate,
    molto2.Ins.DELETE: Molto2Dialogue._delete,
    molto2.Ins.SCREEN: Molto2Dialogue._screen,
    molto2.Ins.FACTORY_RESET: Molto2Dialogue._factory_reset,
}
_SECURE: dict[int, Callable[[Molto2Dialogue, Command], None]] = {
    sm4_secure.Ins.SEED: Molto2Dialogue._seed,
    sm4_secure.Ins.CONFIG: Molto2Dialogue._config,
    molto2.Ins.TITLE: Molto2Dialogue._title,
    molto2.Ins.CUSTOMER_KEY: Molto2Dialogue._customer_key,
}

MOLTO2 = Family(
    name="molto2",
    model="Molto2v2",
    firmware=(2, 1, 0),
    idVendor=0x349E,
    idProduct=0x0300,
    # The reader's name is `TOKEN2 Molto2 [CCID Interface]` (keyroost): manufacturer and product.
    iManufacturer="TOKEN2",
    iProduct="Molto2",
    # ISO/IEC 7816-3: TS 3B; T0: TD1, no historical bytes; TD1, TD2: T=0 then T=1; TCK. No source tells the real one.
    atr=bytes.fromhex("3B80800101"),
    limits=Limits(
        credentials=molto2.PROFILES,
        pin_attempts=8,  # keyroost, seen on hardware: 63C7 after the first wrong key
        touch_timeout_s=30,  # INFERRED
        screen_s=30,  # until a configuration says otherwise
        max_apdu=261,
    ),
    flash=FlashGeometry(page_size=4096, page_count=16),
    functions=(CCID,),
    instructions=(sm4_secure.Ins, molto2.Ins),
    chip=Molto2Chip,
    quirks=frozenset({QUEUES, KEYLESS_DELETE}),
    serial_prefix="8266587",
)
# The first Molto2, which the specification is not about: Token2's tool says that it has 50 profiles.
_FIRST = replace(
    MOLTO2, model="Molto2", firmware=(1, 0, 0), limits=replace(MOLTO2.limits, credentials=molto2.FIRST_PROFILES)
)
VARIANTS = (MOLTO2, replace(MOLTO2, firmware=(2, 0, 0)), _FIRST)
