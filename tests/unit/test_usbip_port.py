"""--link usbip on real sockets: listed, imported, used, unplugged; hosts that lie, flood, or hang up at any byte."""

from __future__ import annotations

import random
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_sim.clocks import SystemClock, monotonic
from firmware_sim.links.cable import Cable, Instruction
from firmware_sim.links.loop import Loop
from firmware_sim.links.port import PortError
from firmware_sim.links.usb_device import UsbDevice
from firmware_sim.links.usbip import UsbipConnection, UsbipPort
from firmware_sim.links.usbip_session import Session
from firmware_sim.testing.bench import Bench, make_bench
from provision.wire import ccid, framing, usb, usbip
from provision.wire.usbip_stream import HostDecoder

SELECT = bytes.fromhex("00A4040007A0000005272101")
GET_DEVICE = usb.SetupPacket(0x80, usb.Request.GET_DESCRIPTOR, 0x0100, 0, 18).encode()


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop(SystemClock(), ticking=True, monotonic=monotonic)
    yield loop
    loop.close()


@pytest.fixture
def bench() -> Bench:
    bench = make_bench()
    bench.token.power_on()
    return bench


@pytest.fixture
def cable(bench: Bench) -> Cable:
    return Cable(bench.token, bench.clock, bench.supply.restore)


@pytest.fixture
def port(loop: Loop, cable: Cable) -> Iterator[UsbipPort]:
    port = UsbipPort(loop, UsbDevice(cable))
    port.plug()
    yield port
    port.unplug()


class Client:
    """A host on a socket; the loop runs while it waits."""

    def __init__(self, loop: Loop, port: UsbipPort) -> None:
        where = port.address.removeprefix("usbip:").removesuffix("/1-1")
        if where.startswith("/"):
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.connect(where)
        else:
            self.sock = socket.create_connection(("127.0.0.1", int(where.rpartition(":")[2])))
        self.sock.setblocking(False)
        self.loop = loop
        self.asked: dict[int, int] = {}
        self.decoder = HostDecoder(self.asked.get)
        self.got: list[object] = []
        self.over = False

    def send(self, *messages: object) -> None:
        for message in messages:
            if isinstance(message, usbip.Submit):
                self.asked[message.seqnum] = message.length if message.direction == usbip.IN else 0
            self.sock.sendall(message.encode())  # type: ignore[attr-defined]

    def receive(self, count: int) -> list[object]:
        """The next `count` messages, or as many as came before the end."""
        self.loop.when(lambda: self._look(count), self.loop.stop)
        self.loop.run()
        assert self.over or len(self.got) >= count, "no answer"
        got, self.got = self.got[:count], self.got[count:]
        return got

    def ended(self) -> bool:
        """Whether the port hangs up, soon."""
        self.receive(1 << 30)
        return self.over

    def import_it(self) -> usbip.ImportReply:
        self.send(usbip.ImportRequest("1-1"))
        (reply,) = self.receive(1)
        assert isinstance(reply, usbip.ImportReply)
        return reply

    def import_when_free(self) -> None:
        """The end of the host before may still be on its way."""
        assert any(self.import_it().device is not None for _ in range(100)), "another host still has the device"

    def _look(self, count: int) -> bool:
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return len(self.got) >= count
        except ConnectionResetError:
            data = b""
        self.over |= not data
        self.got += self.decoder.feed(data)
        return self.over or len(self.got) >= count

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


def exchange(client: Client, message: ccid.Command, seqnum: int) -> ccid.Response:
    """Over the reader's pipes."""
    raw = message.encode()
    client.send(usbip.Submit(seqnum, 0x10002, usbip.OUT, 3, len(raw), data=raw))
    client.send(usbip.Submit(seqnum + 1, 0x10002, usbip.IN, 3, 4160))
    told, answered = client.receive(2)
    assert told == usbip.SubmitReply(seqnum, 0, len(raw))
    assert isinstance(answered, usbip.SubmitReply) and answered.seqnum == seqnum + 1
    return ccid.decode_response(answered.data)


def works(loop: Loop, port: UsbipPort) -> bool:
    """Whether the next host is served."""
    with Client(loop, port) as client:
        client.import_when_free()
        return isinstance(exchange(client, ccid.IccPowerOn(0, 1), 1), ccid.DataBlock)


def test_listed_and_imported(loop: Loop, port: UsbipPort) -> None:
    with Client(loop, port) as client:
        client.send(usbip.DevlistRequest(), usbip.DevlistRequest())
        first, second = client.receive(2)
        assert first == second == usbip.DevlistReply((port.device.exported,))
        assert client.import_it() == usbip.ImportReply(0, port.device.exported.device)
        client.send(usbip.Submit(1, 0x10002, usbip.IN, 0, 18, GET_DEVICE))
        (answer,) = client.receive(1)
        assert answer == usbip.SubmitReply(1, 0, 18, port.device.descriptor.encode())
        assert isinstance(exchange(client, ccid.IccPowerOn(0, 1), 2), ccid.DataBlock)
        reply = exchange(client, ccid.XfrBlock(0, 2, data=SELECT), 4)
        assert isinstance(reply, ccid.DataBlock) and reply.data.endswith(b"\x90\x00")


def test_one_importer_at_a_time(loop: Loop, port: UsbipPort) -> None:
    with Client(loop, port) as first, Client(loop, port) as second:
        assert first.import_it().status == 0
        assert second.import_it() == usbip.ImportReply(1, None)
        second.send(usbip.DevlistRequest())
        assert len(second.receive(1)) == 1
        first.sock.close()
        second.import_when_free()


def test_no_such_device(loop: Loop, port: UsbipPort) -> None:
    with Client(loop, port) as client:
        client.send(usbip.ImportRequest("3-2"))
        assert client.receive(1) == [usbip.ImportReply(1, None)]


def test_a_host_that_leaves_is_forgotten(loop: Loop, port: UsbipPort) -> None:
    with Client(loop, port) as client:
        client.import_it()
        exchange(client, ccid.IccPowerOn(0, 1), 1)
    with Client(loop, port) as client:
        client.import_when_free()
        assert exchange(client, ccid.GetSlotStatus(0, 1), 1) == ccid.SlotStatus(0, 1, ccid.IccStatus.INACTIVE, clock=1)


def test_unlink_in_flight(loop: Loop, port: UsbipPort) -> None:
    with Client(loop, port) as client:
        client.import_it()
        client.send(
            usbip.Submit(1, 0, usbip.IN, 3, 64), usbip.Unlink(2, 0, 1), usbip.Unlink(3, 0, 1), usbip.Unlink(4, 0, 99)
        )
        assert client.receive(3) == [
            usbip.UnlinkReply(2, usbip.Status.UNLINKED),
            usbip.UnlinkReply(3, 0),
            usbip.UnlinkReply(4, 0),
        ]
        assert isinstance(exchange(client, ccid.IccPowerOn(0, 1), 5), ccid.DataBlock)


def test_unplugged_and_plugged_again(loop: Loop, port: UsbipPort) -> None:
    address = port.address
    with Client(loop, port) as client:
        client.import_it()
        port.unplug()
        assert client.ended() and not port.plugged
        with pytest.raises(ConnectionRefusedError):
            Client(loop, port)
    port.plug()
    assert port.address == address
    assert works(loop, port)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no Unix sockets here")
def test_on_a_unix_socket_of_this_user_alone(loop: Loop, cable: Cable, tmp_path: Path) -> None:
    path = tmp_path / "usbip"
    port = UsbipPort(loop, UsbDevice(cable), str(path))
    port.plug()
    assert port.address == f"usbip:{path}/1-1"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert works(loop, port)
    with pytest.raises(PortError, match="--bind"):
        UsbipPort(loop, UsbDevice(cable), str(path)).plug()
    port.unplug()
    assert not path.exists()


def test_after_reply_waits_until_the_host_has_fetched_it(loop: Loop, port: UsbipPort) -> None:
    fetched = []
    with Client(loop, port) as client:
        client.import_it()
        raw = ccid.IccPowerOn(0, 1).encode()
        client.send(usbip.Submit(1, 0, usbip.OUT, 3, len(raw), data=raw))
        client.receive(1)
        port.after_reply(lambda: fetched.append(port.device.drained))
        client.send(usbip.Submit(2, 0, usbip.IN, 0, 18, GET_DEVICE))
        client.receive(1)
        assert not fetched
        client.send(usbip.Submit(3, 0, usbip.IN, 3, 64))
        client.receive(1)
        loop.when(lambda: bool(fetched), loop.stop)
        loop.run()
    assert fetched == [True]


@pytest.mark.parametrize("before_reply", [False, True])
def test_a_trap_pulls_the_cable_at_the_instruction(
    loop: Loop, cable: Cable, port: UsbipPort, before_reply: bool
) -> None:
    def spring() -> None:
        cable.cut(after_reply=not before_reply)
        port.after_reply(port.unplug)

    raw = ccid.XfrBlock(0, 2, data=SELECT).encode()
    with Client(loop, port) as client:
        client.import_it()
        exchange(client, ccid.IccPowerOn(0, 1), 1)
        cable.trap.set(Instruction(0xA4), spring)
        client.send(usbip.Submit(3, 0, usbip.OUT, 3, len(raw), data=raw))
        client.send(usbip.Submit(4, 0, usbip.IN, 3, 4160))
        answers = client.receive(3)
        assert client.over and not port.plugged
    assert answers[0] == usbip.SubmitReply(3, 0, len(raw))
    replies = [answer.data for answer in answers[1:] if isinstance(answer, usbip.SubmitReply)]
    assert [reply.endswith(b"\x90\x00") for reply in replies] == ([] if before_reply else [True])
    cable.mend()
    port.plug()
    assert works(loop, port)


def test_a_touch_that_is_awaited_wakes_the_loop(loop: Loop, cable: Cable, port: UsbipPort) -> None:
    """What time brings goes to a transfer that waits, though no byte comes from the host."""
    with Client(loop, port) as client:
        client.import_it()
        client.send(usbip.Submit(1, 0, usbip.IN, 2, 64))
        line = port.device._functions[0]._line  # type: ignore[attr-defined]
        line.poll = lambda: ([b"it is time"], None)
        connection = port._connections[0]
        loop.set_deadline(connection._stream, 0.0)
        assert client.receive(1) == [usbip.SubmitReply(1, 0, 10, b"it is time")]


def test_a_connected_socket_needs_no_listener(loop: Loop, cable: Cable) -> None:
    """What vhci's attach file is given: no operation comes first."""
    ours, theirs = socket.socketpair()
    ended = []
    device = UsbDevice(cable)
    connection = UsbipConnection(loop, ours, lambda: ended.append(True), device=device)
    with theirs:
        theirs.sendall(usbip.Submit(1, 0x10002, usbip.IN, 0, 18, GET_DEVICE).encode())
        theirs.setblocking(False)
        loop.when(lambda: connection.drained and _readable(theirs), loop.stop)
        loop.run()
        assert theirs.recv(4096)[usbip.HEADER_SIZE :] == device.descriptor.encode()
    loop.when(lambda: bool(ended), loop.stop)
    loop.run()
    assert ended == [True]
    connection.close()


def _readable(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False


# Hosts of bad faith.


def test_a_lie_about_a_length_ends_the_connection(loop: Loop, port: UsbipPort) -> None:
    raw = bytearray(usbip.Submit(1, 0, usbip.OUT, 3, 0).encode())
    raw[24:28] = b"\x7f\xff\xff\xff"
    with Client(loop, port) as client:
        client.import_it()
        client.sock.sendall(raw)
        assert client.ended()
    assert works(loop, port)


def test_another_version_or_operation_ends_the_connection(loop: Loop, port: UsbipPort) -> None:
    for request in ("0100800500000000", "0111900500000000", "0111800500000001"):
        with Client(loop, port) as client:
            client.sock.sendall(bytes.fromhex(request))
            assert client.ended()
    assert works(loop, port)


def test_commands_before_an_import(loop: Loop, port: UsbipPort) -> None:
    with Client(loop, port) as client:
        client.send(usbip.Submit(1, 0, usbip.IN, 3, 64))
        assert client.ended()
    assert works(loop, port)


def test_guests_that_say_nothing_make_room(loop: Loop, port: UsbipPort) -> None:
    guests = []
    for _ in range(20):
        guests.append(Client(loop, port))
        before = len(port._connections)
        loop.when(lambda before=before: len(port._connections) > before or before == 8, loop.stop)  # type: ignore[misc]
        loop.run()
    assert len(port._connections) == 8
    assert works(loop, port)
    for guest in guests:
        guest.sock.close()


def test_a_flood_that_is_never_fetched(loop: Loop, port: UsbipPort) -> None:
    """Answers that nobody reads stop the reading, transfers that wait are counted: memory stays as it was."""
    with Client(loop, port) as client:
        client.import_it()
        waiting = b"".join(usbip.Submit(seqnum, 0, usbip.IN, 3, 64).encode() for seqnum in range(300))
        client.sock.sendall(waiting)
        assert client.ended()
    with Client(loop, port) as client:
        client.import_it()
        get = b"".join(usbip.Submit(seqnum, 0, usbip.IN, 0, 18, GET_DEVICE).encode() for seqnum in range(2000))
        connection = next(one for one in port._connections if one.session.imported)

        def pour() -> bool:
            try:
                client.sock.send(get)
            except BlockingIOError:
                return True
            return False

        loop.when(pour, loop.stop)
        loop.run()
        assert len(connection._stream._waiting) < 1 << 18
    assert works(loop, port)


def recorded() -> bytes:
    """What a host sends in a short life with the token."""
    raw_on, raw_select = ccid.IccPowerOn(0, 1).encode(), ccid.XfrBlock(0, 2, data=SELECT).encode()
    hello = framing.encode_frame(framing.Kind.HELLO, 0, 77, b"\x01")
    configure = usb.SetupPacket(0x00, usb.Request.SET_CONFIGURATION, 1, 0, 0).encode()
    messages = [
        usbip.ImportRequest("1-1"),
        usbip.Submit(1, 0x10002, usbip.IN, 0, 18, GET_DEVICE),
        usbip.Submit(2, 0x10002, usbip.OUT, 0, 0, configure),
        usbip.Submit(3, 0x10002, usbip.IN, 4, 8),
        usbip.Submit(4, 0x10002, usbip.OUT, 3, len(raw_on), data=raw_on),
        usbip.Submit(5, 0x10002, usbip.IN, 3, 4160),
        usbip.Submit(6, 0x10002, usbip.IN, 3, 4160),
        usbip.Submit(7, 0x10002, usbip.OUT, 3, len(raw_select), data=raw_select),
        usbip.Submit(8, 0x10002, usbip.IN, 2, 64),
        usbip.Submit(9, 0x10002, usbip.OUT, 2, len(hello), data=hello),
        usbip.Submit(10, 0x10002, usbip.IN, 3, 64),
        usbip.Unlink(11, 0x10002, 10),
        usbip.Submit(12, 0x10002, usbip.OUT, 0, 0, usb.SetupPacket(0x23, 3, 4, 0, 0).encode()),
    ]
    return b"".join(message.encode() for message in messages)


class Everything:
    """Implements usbip_session.Export: always free."""

    def __init__(self, device: UsbDevice) -> None:
        self.device = device

    def take(self, session: Session) -> bool:
        return True


def test_a_recorded_exchange_ten_thousand_times_spoiled(cable: Cable) -> None:
    """Answered or hung up on; and the token is as good as new afterwards."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    device = UsbDevice(cable)
    record = recorded()
    hang_ups = []
    for _ in range(10_000):
        raw = bytearray(record)
        for _ in range(rng.randrange(1, 5)):
            at = rng.randrange(len(raw))
            raw[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        session = Session(lambda: hang_ups.append(True), export=Everything(device))
        session.receive(bytes(raw))
        session.poll()
        session.disconnect()
    assert 0 < len(hang_ups) < 10_000
    replies = Session(lambda: None, export=Everything(device)).receive(record)
    assert len(replies) == 12  # one for each message, but for the transfer that was taken back
    assert any(reply.endswith(b"\x90\x00") for reply in replies)


def test_hang_up_at_every_byte(loop: Loop, port: UsbipPort) -> None:
    record = recorded()
    for cut in range(len(record)):
        with Client(loop, port) as client:
            client.decoder.feed = lambda data: iter(())  # type: ignore[method-assign]
            client.sock.sendall(record[:cut])
            client.sock.shutdown(socket.SHUT_WR)
            assert client.ended()
    assert works(loop, port)
