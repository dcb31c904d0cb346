"""Endpoint 0: the standard requests of USB 2.0 section 9.4, and the way to the functions for all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from firmware_sim.links.usb_function import Function, Stalled
from firmware_sim.links.usb_pipes import InPipe, OutPipe
from provision.wire.usb import LANGID_ENGLISH_US, DescriptorType, Feature, Kind, Recipient, Request, SetupPacket

CONFIGURATION = 1
"""bConfigurationValue of the only configuration there is."""
_PORT_RESET = SetupPacket(0x23, Request.SET_FEATURE, 4, 0, 0)
_ADDRESSES = 128
_IN = frozenset((Request.GET_STATUS, Request.GET_DESCRIPTOR, Request.GET_CONFIGURATION, Request.GET_INTERFACE))


class ControlEndpoint:
    """Answers control transfers.

    `descriptors`: by (type, index). `functions`: by the number of each interface. `reset`: everything begins anew.
    The device begins configured: USB/IP exports it from a machine that has already done that.
    """

    def __init__(
        self,
        descriptors: Mapping[tuple[int, int], bytes],
        functions: Sequence[Function],
        pipes: Mapping[int, InPipe | OutPipe],
        reset: Callable[[], None],
    ) -> None:
        self._descriptors = descriptors
        self._functions = functions
        self._pipes = pipes
        self._reset = reset
        self.configuration = CONFIGURATION

    def request(self, setup: SetupPacket, data: bytes) -> bytes:
        """What an IN request brings, cut to what was asked for; nothing for an OUT request. Raises Stalled."""
        if setup.is_in:
            if data:
                raise Stalled
        elif len(data) != setup.wLength:
            raise Stalled
        if setup.kind is Kind.STANDARD:
            answer = self._standard(setup)
        elif setup._replace(wIndex=0) == _PORT_RESET:
            # What USB/IP has for a bus reset. The exporting machine configures the device again by itself.
            self.configuration = CONFIGURATION
            self._reset()
            answer = b""
        elif setup.recipient == Recipient.INTERFACE:
            answer = self._function(setup.wIndex & 0xFF).control(setup, data)
        else:
            raise Stalled
        return answer[: setup.wLength]

    def _standard(self, setup: SetupPacket) -> bytes:
        try:
            request = Request(setup.bRequest)
        except ValueError:
            raise Stalled from None
        if setup.is_in != (request in _IN):
            raise Stalled
        if request is Request.GET_STATUS:
            return self._status(setup)
        if request in (Request.CLEAR_FEATURE, Request.SET_FEATURE):
            return self._feature(setup, on=request is Request.SET_FEATURE)
        if request in (Request.GET_INTERFACE, Request.SET_INTERFACE):
            return self._alternate(setup, request)
        if request is Request.GET_DESCRIPTOR and setup.recipient == Recipient.INTERFACE:
            # Classes that have more to describe (HID its reports) are asked for it this way.
            return self._function(setup.wIndex).control(setup, b"")
        if setup.recipient != Recipient.DEVICE:
            raise Stalled
        if request is Request.GET_DESCRIPTOR:
            return self._descriptor(setup)
        if request is Request.GET_CONFIGURATION:
            return bytes((self.configuration,))
        if request is Request.SET_CONFIGURATION:
            return self._configure(setup.wValue)
        if request is Request.SET_ADDRESS and setup.wValue < _ADDRESSES:
            return b""  # a host behind USB/IP keeps its addresses to itself
        raise Stalled

    def _status(self, setup: SetupPacket) -> bytes:
        """GET_STATUS. The device lives on the bus's power and wakes nobody; an interface has nothing to tell."""
        if setup.wValue:
            raise Stalled
        if setup.recipient == Recipient.ENDPOINT:
            halted = setup.wIndex & 0x7F != 0 and self._pipe(setup.wIndex).halted
            return bytes((halted, 0))
        if setup.recipient == Recipient.INTERFACE:
            self._function(setup.wIndex)
        elif setup.recipient != Recipient.DEVICE or setup.wIndex:
            raise Stalled
        return bytes(2)

    def _feature(self, setup: SetupPacket, *, on: bool) -> bytes:
        """Halts, and nothing else: there is no remote wakeup over USB/IP, so the configuration promises none."""
        if setup.recipient != Recipient.ENDPOINT or setup.wValue != Feature.ENDPOINT_HALT:
            raise Stalled
        if setup.wIndex & 0x7F == 0:
            return b""  # endpoint 0 forgets a halt with the next SETUP packet
        pipe = self._pipe(setup.wIndex)
        if on:
            pipe.halt()
        else:
            pipe.resume()
        return b""

    def _alternate(self, setup: SetupPacket, request: Request) -> bytes:
        if setup.recipient != Recipient.INTERFACE or setup.wValue:
            raise Stalled
        function = self._function(setup.wIndex)
        if request is Request.GET_INTERFACE:
            return bytes(1)
        for pipe in function.pipes.values():
            pipe.resume()
        return b""

    def _descriptor(self, setup: SetupPacket) -> bytes:
        kind, index = divmod(setup.wValue, 0x100)
        if kind == DescriptorType.STRING and index and setup.wIndex != LANGID_ENGLISH_US:
            raise Stalled
        found = self._descriptors.get((kind, index))
        if found is None:
            raise Stalled  # among them the device qualifier: this device knows full speed only
        return found

    def _configure(self, value: int) -> bytes:
        if value not in (0, CONFIGURATION):
            raise Stalled
        self.configuration = value
        self._reset()
        return b""

    def _function(self, interface: int) -> Function:
        if not self.configuration or interface >= len(self._functions):
            raise Stalled
        return self._functions[interface]

    def _pipe(self, address: int) -> InPipe | OutPipe:
        pipe = self._pipes.get(address) if self.configuration else None
        if pipe is None:
            raise Stalled
        return pipe
