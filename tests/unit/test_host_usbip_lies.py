"""USB/IP servers that lie, hang up, or describe a device that cannot be."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import random

import pytest
import usb.core
import usb.util
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.errors import LinkError, ProvisionError, RemoteProtocolError
from provision.links.usbip_connection import UNLINK_TIMEOUT_S
from provision.wire.usb_descriptors import CcidDescriptor, Configuration
from provision.wire.usbip import SubmitReply
from tests.unit.usbip_world import CONFIGURATION, DESCRIPTORS, EXPORTED, World


class TestLyingServers:
    """Whatever comes, it ends in an answer or in one of our errors, in bounded time."""

    def life(self, world):
        with contextlib.suppress(ProvisionError), world.link() as link:
            link.exchange(b"1234")
            link.exchange(bytes(100))
        assert world.clock.monotonic() < 60

    def test_a_hang_up_at_every_byte(self):
        whole = World()
        self.life(whole)
        for cut_at in range(700):
            world = World()
            world.cut_at = cut_at
            self.life(world)

    @settings(max_examples=400)
    @given(st.integers(0, 2**32), st.integers(1, 12))
    def test_replies_with_spoiled_bytes(self, seed, rate):
        dice = random.Random(seed)

        def spoil(raw):
            if dice.randrange(rate):
                return raw
            mutant = bytearray(raw)
            for _ in range(dice.randrange(1, 4)):
                mutant[dice.randrange(len(mutant))] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
            return bytes(mutant[: dice.choice((len(mutant), dice.randrange(len(mutant) + 1)))])

        world = World()
        world.spoil = spoil
        self.life(world)

    @given(st.binary(max_size=400))
    def test_noise(self, noise):
        world = World()
        world.spoil = lambda raw: noise
        self.life(world)

    def test_an_answer_to_what_nobody_asked(self):
        world = World()
        with world.link() as link:
            world.spoil = lambda raw: SubmitReply(0xDEAD, 0, 0).encode()
            with pytest.raises(LinkError, match="breaks the protocol"):
                link.exchange(b"1234")

    def test_more_than_was_asked_for(self):
        world = World()
        with world.link() as link:
            world.spoil = lambda raw: raw[:24] + b"\x00\x10\x00\x00" + raw[28:]
            with pytest.raises(LinkError):
                link.exchange(b"1234")

    def test_one_that_never_confirms_an_unlink_is_given_up(self):
        world = World()
        with world.link() as link:
            world.spoil = lambda raw: b""
            before = world.clock.monotonic()
            with pytest.raises(LinkError):
                link.exchange(b"1234")
            assert world.clock.monotonic() - before == pytest.approx(2.0 + UNLINK_TIMEOUT_S)

    def test_a_number_that_no_command_can_name(self):
        world = World()
        world.exported = dataclasses.replace(EXPORTED, busnum=0x10000)
        with pytest.raises(LinkError):
            world.link()

    def test_an_interface_that_miscounts_its_endpoints(self, monkeypatch):
        interface, *rest = CONFIGURATION.descriptors
        wrong = (dataclasses.replace(interface, bNumEndpoints=3), *rest)
        plain = Configuration.of(wrong, bmAttributes=0x80, bMaxPower=50)
        monkeypatch.setitem(DESCRIPTORS, 0x0200, plain.encode())
        with pytest.raises(LinkError, match="describes itself wrongly"):
            World().link()

    def test_a_list_that_knows_more_configurations_than_the_device(self):
        world = World()
        world.exported = dataclasses.replace(EXPORTED, bNumConfigurations=2)
        world.busy = True
        device = world.find()  # as far as the list tells
        world.busy = False
        with pytest.raises(usb.core.USBError) as caught:
            list(device)
        assert caught.value.errno == errno.EPROTO

    def test_a_device_that_describes_itself_wrongly(self, monkeypatch):
        plain = Configuration.of(
            tuple(d for d in CONFIGURATION.descriptors if not isinstance(d, CcidDescriptor)),
            bmAttributes=0x80,
            bMaxPower=50,
        )
        monkeypatch.setitem(DESCRIPTORS, 0x0200, plain.encode())
        with pytest.raises(RemoteProtocolError, match="no CCID descriptor"):
            World().link()
