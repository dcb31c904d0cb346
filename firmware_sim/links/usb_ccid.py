"""The token as a USB function: a CCID reader with its card inside (CCID 1.1), at extended APDU level."""

from __future__ import annotations

from firmware_sim.links.ccid_slot import CcidSlot
from firmware_sim.links.port import Lines
from firmware_sim.links.usb_function import Place, Stalled
from firmware_sim.links.usb_pipes import FULL, PACKET, InPipe, OutPipe
from firmware_sim.seams import ApduChannel, DeviceLink
from provision.wire.ccid import HEADER, REQUEST_ABORT, NotifySlotChange
from provision.wire.usb import IN, DeviceClass, SetupPacket, TransferType
from provision.wire.usb_descriptors import CcidDescriptor, Descriptor, EndpointDescriptor, InterfaceDescriptor

_T0_AND_T1 = 0x03
_ALL_VOLTAGES = 0x07
_CLOCK_KHZ, _RATE_BPS = 4000, 307200
# Parameters, voltage, clock and rate are the reader's own business, as is PPS; APDUs short and extended.
_FEATURES = 0x02 | 0x08 | 0x10 | 0x20 | 0x40 | 0x80 | 0x40000
_LONGEST_BLOCK = 254
_ECHO_CLASS = 0xFF  # GET RESPONSE and ENVELOPE: in the class of the command
_CARD_IS_IN = NotifySlotChange(((True, True),)).encode()


class ReaderFunction:
    """Implements Function: one interface with a bulk endpoint each way, and an interrupt endpoint that tells once that
    the card is in."""

    interfaces = 1
    endpoints = 2

    def __init__(self, lines: Lines, place: Place) -> None:
        self._place = place
        self._max_apdu = lines.family.limits.max_apdu
        self._line = lines.line(lambda channel: self._make_slot(channel, lines))
        self._in = InPipe(place.answers)
        self._out = OutPipe(place.answers, self._receive, lambda: self._in.queued < FULL, self._slot.forget)
        self._interrupt = InPipe(place.answers)
        self._in_address = IN | place.endpoint
        self._out_address = place.endpoint
        self._interrupt_address = IN | place.endpoint + 1
        self.pipes: dict[int, InPipe | OutPipe] = {
            self._in_address: self._in,
            self._out_address: self._out,
            self._interrupt_address: self._interrupt,
        }
        self._interrupt.send(_CARD_IS_IN)

    @property
    def descriptors(self) -> tuple[Descriptor, ...]:
        return (
            InterfaceDescriptor(self._place.interface, 0, 3, DeviceClass.CCID, 0, 0, 0),
            CcidDescriptor(
                bcdCCID=0x0110,
                bMaxSlotIndex=0,
                bVoltageSupport=_ALL_VOLTAGES,
                dwProtocols=_T0_AND_T1,
                dwDefaultClock=_CLOCK_KHZ,
                dwMaximumClock=_CLOCK_KHZ,
                bNumClockSupported=0,
                dwDataRate=_RATE_BPS,
                dwMaxDataRate=_RATE_BPS,
                bNumDataRatesSupported=0,
                dwMaxIFSD=_LONGEST_BLOCK,
                dwSynchProtocols=0,
                dwMechanical=0,
                dwFeatures=_FEATURES,
                dwMaxCCIDMessageLength=HEADER + self._max_apdu,
                bClassGetResponse=_ECHO_CLASS,
                bClassEnvelope=_ECHO_CLASS,
                wLcdLayout=0,
                bPINSupport=0,
                bMaxCCIDBusySlots=1,
            ),
            EndpointDescriptor(self._in_address, TransferType.BULK, PACKET, 0),
            EndpointDescriptor(self._out_address, TransferType.BULK, PACKET, 0),
            EndpointDescriptor(self._interrupt_address, TransferType.INTERRUPT, 8, bInterval=32),
        )

    @property
    def queued(self) -> int:
        return self._in.queued

    def control(self, setup: SetupPacket, data: bytes) -> bytes:
        if (setup.bmRequestType, setup.bRequest, data) != (0x21, REQUEST_ABORT, b""):
            raise Stalled  # clock frequencies and data rates: the descriptor says that there is no list of them
        seq, slot = divmod(setup.wValue, 0x100)
        replies = self._slot.abort(slot, seq)
        if replies is None:
            raise Stalled
        self._say(replies)
        return b""

    def poll(self) -> float | None:
        replies, deadline = self._line.poll()
        self._say(replies)
        return deadline

    def go_on(self) -> None:
        self._out.go_on()

    def reset(self) -> None:
        self._line.disconnect()
        for pipe in self.pipes.values():
            pipe.reset()
        self._interrupt.send(_CARD_IS_IN)

    def _make_slot(self, channel: ApduChannel, lines: Lines) -> DeviceLink:
        self._slot = CcidSlot(channel, lines.family.atr, self._max_apdu, lines.clock)
        return self._slot

    def _receive(self, data: bytes) -> None:
        self._say(self._line.receive(data))

    def _say(self, replies: list[bytes]) -> None:
        for reply in replies:
            self._in.send(reply)
