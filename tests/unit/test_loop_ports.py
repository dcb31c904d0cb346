"""The event loop with real pseudo-terminals and sockets: bytes go through, hang-ups are seen, deadlines are kept."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firmware_sim.clocks import ManualClock, SystemClock, monotonic
from firmware_sim.links.loop import Loop, stopped_by_signals
from firmware_sim.links.port import Port, PortError
from firmware_sim.links.tcp import TcpPort

pty = pytest.importorskip("firmware_sim.links.pty", reason="pseudo-terminals are a thing of POSIX")


class EchoLink:
    """Answers with what came; `poll` gives what the test prepared."""

    def __init__(self) -> None:
        self.received = b""
        self.disconnects = 0
        self.polled: list[bytes] = []
        self.deadline: float | None = None

    def receive(self, data: bytes) -> list[bytes]:
        self.received += data
        return [data]

    def poll(self) -> tuple[list[bytes], float | None]:
        replies, self.polled = self.polled, []
        return replies, self.deadline

    def disconnect(self) -> None:
        self.disconnects += 1


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop(SystemClock(), ticking=True, monotonic=monotonic)
    yield loop
    loop.close()


@pytest.fixture
def link() -> EchoLink:
    return EchoLink()


@pytest.fixture
def pty_port(loop: Loop, link: EchoLink) -> Iterator[Port]:
    port = pty.PtyPort(loop, link)
    port.plug()
    yield port
    port.unplug()


@pytest.fixture
def tcp_port(loop: Loop, link: EchoLink) -> Iterator[TcpPort]:
    port = TcpPort(loop, link)
    port.plug()
    yield port
    port.unplug()


def run_until(loop: Loop, condition: Callable[[], bool]) -> None:
    """Serve until the condition holds."""
    loop.when(condition, loop.stop)
    loop.run()
    assert condition()


def open_host(port: Port) -> int:
    """The slave side as a host opens it, non-blocking."""
    return os.open(port.address.removeprefix("serial:"), os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)


def arrived(fd: int, expected: bytes) -> Callable[[], bool]:
    got = bytearray()

    def check() -> bool:
        with contextlib.suppress(BlockingIOError):
            got.extend(os.read(fd, 65536))
        return bytes(got) == expected

    return check


class TestPty:
    def test_every_byte_goes_through_unchanged(self, loop: Loop, link: EchoLink, pty_port: Port) -> None:
        host = open_host(pty_port)
        everything = bytes(range(256))
        os.write(host, everything)
        run_until(loop, arrived(host, everything))
        assert link.received == everything
        os.close(host)

    def test_closing_disconnects_and_reopening_works(self, loop: Loop, link: EchoLink, pty_port: Port) -> None:
        for times in (1, 2, 3):
            host = open_host(pty_port)
            os.write(host, b"x")
            run_until(loop, arrived(host, b"x"))
            assert link.disconnects == times - 1
            os.close(host)
            run_until(loop, lambda times=times: link.disconnects == times)  # type: ignore[misc]

    def test_said_and_closed_before_we_looked(self, loop: Loop, link: EchoLink, pty_port: Port) -> None:
        host = open_host(pty_port)
        os.write(host, b"bye")
        os.close(host)
        run_until(loop, lambda: link.disconnects == 1)
        assert link.received == b"bye"

    def test_what_one_host_did_not_read_is_not_for_the_next(self, loop: Loop, link: EchoLink, pty_port: Port) -> None:
        host = open_host(pty_port)
        os.write(host, b"secret")
        run_until(loop, lambda: link.received == b"secret")
        os.close(host)
        run_until(loop, lambda: link.disconnects == 1)
        host = open_host(pty_port)
        with pytest.raises(BlockingIOError):
            os.read(host, 100)
        os.close(host)

    def test_a_closed_line_does_not_keep_the_loop_busy(self, loop: Loop, link: EchoLink, pty_port: Port) -> None:
        host = open_host(pty_port)
        os.write(host, b"x")
        run_until(loop, arrived(host, b"x"))
        os.close(host)
        run_until(loop, lambda: link.disconnects == 1)
        assert not loop._selector.select(0)

    def test_unplugging_hangs_up_and_plugging_opens_another(self, loop: Loop, link: EchoLink, pty_port: Port) -> None:
        host = open_host(pty_port)
        os.write(host, b"x")
        run_until(loop, arrived(host, b"x"))
        pty_port.unplug()
        assert link.disconnects == 1
        assert not pty_port.plugged
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            os.write(host, b"x")
        pty_port.plug()
        os.close(host)
        host = open_host(pty_port)
        os.write(host, b"again")
        run_until(loop, arrived(host, b"again"))
        os.close(host)

    def test_after_reply_waits_until_the_host_has_read(self, loop: Loop, link: EchoLink, pty_port: Port) -> None:
        host = open_host(pty_port)
        os.write(host, b"last words")
        run_until(loop, lambda: link.received == b"last words")
        pty_port.after_reply(pty_port.unplug)
        asked = []
        loop.when(lambda: len(asked) > 20 or bool(asked.append(1)), loop.stop)
        loop.run()
        assert pty_port.plugged, "the reply was not read yet"
        assert os.read(host, 100) == b"last words"
        run_until(loop, lambda: not pty_port.plugged)
        os.close(host)

    def test_a_host_that_does_not_read_is_not_read_from(self, loop: Loop, link: EchoLink, pty_port: Port) -> None:
        host = open_host(pty_port)
        sent, block = 0, bytes(4096)
        turns: list[int] = []

        def push() -> bool:
            nonlocal sent
            try:
                sent += os.write(host, block)
            except BlockingIOError:
                turns.append(1)
            return len(turns) > 50

        run_until(loop, push)
        assert len(link.received) < 1 << 18, "back-pressure reached the host"
        got = 0

        def drain() -> bool:
            nonlocal got
            with contextlib.suppress(BlockingIOError):
                got += len(os.read(host, 65536))
            return got == sent

        run_until(loop, drain)
        os.close(host)

    def test_the_link_leads_to_the_current_pty_and_goes_away(self, loop: Loop, tmp_path: Path) -> None:
        path = tmp_path / "token"
        port = pty.PtyPort(loop, EchoLink(), path)
        for _ in range(2):
            port.plug()
            assert port.address == f"serial:{path}"
            assert stat.S_ISCHR(path.stat().st_mode)
            port.unplug()
            assert not path.is_symlink()

    def test_a_stale_link_is_replaced_but_a_file_is_not(self, loop: Loop, tmp_path: Path) -> None:
        path = tmp_path / "token"
        path.symlink_to("/dev/null/gone")
        port = pty.PtyPort(loop, EchoLink(), path)
        port.plug()
        port.unplug()
        path.write_text("precious")
        with pytest.raises(PortError, match="there is a file of that name"):
            port.plug()
        assert path.read_text() == "precious"
        assert not port.plugged

    def test_anothers_link_is_left_alone(self, loop: Loop, tmp_path: Path) -> None:
        path = tmp_path / "token"
        first, second = pty.PtyPort(loop, EchoLink(), path), pty.PtyPort(loop, EchoLink(), path)
        first.plug()
        second.plug()
        first.unplug()
        assert path.is_symlink()
        second.unplug()
        assert not path.is_symlink()


class TestTcp:
    @staticmethod
    def dial(port: TcpPort) -> socket.socket:
        _, host, number = port.address.split(":")
        client = socket.create_connection((host, int(number)), timeout=5)
        client.setblocking(False)
        return client

    def test_bytes_go_through_on_a_free_port_of_the_loopback(
        self, loop: Loop, link: EchoLink, tcp_port: TcpPort
    ) -> None:
        assert tcp_port.address.startswith("tcp:127.0.0.1:")
        with self.dial(tcp_port) as client:
            client.send(b"hello")
            run_until(loop, arrived(client.fileno(), b"hello"))
        run_until(loop, lambda: link.disconnects == 1)

    def test_a_second_client_is_turned_away_and_the_first_goes_on(
        self, loop: Loop, link: EchoLink, tcp_port: TcpPort
    ) -> None:
        with self.dial(tcp_port) as first, self.dial(tcp_port) as second:
            first.send(b"a")
            run_until(loop, arrived(first.fileno(), b"a"))
            run_until(loop, arrived(second.fileno(), b""))
            first.send(b"b")
            run_until(loop, arrived(first.fileno(), b"b"))
            assert link.disconnects == 0

    def test_the_port_number_survives_the_cable(self, loop: Loop, link: EchoLink, tcp_port: TcpPort) -> None:
        before = tcp_port.address
        with self.dial(tcp_port) as client:
            client.send(b"a")
            run_until(loop, arrived(client.fileno(), b"a"))
            tcp_port.unplug()
            assert client.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            self.dial(tcp_port)
        tcp_port.plug()
        assert tcp_port.address == before
        self.dial(tcp_port).close()
        assert link.disconnects == 1

    def test_a_port_in_use_is_named(self, loop: Loop, tcp_port: TcpPort) -> None:
        number = int(tcp_port.address.rpartition(":")[2])
        with pytest.raises(PortError, match=f"port {number}"):
            TcpPort(loop, EchoLink(), port=number).plug()


class TestServingAlone:
    def test_one_descriptor_is_served_until_it_is_enough_and_the_others_wait(self, loop: Loop) -> None:
        ours, theirs = socket.socketpair()
        other, its_end = socket.socketpair()
        with ours, theirs, other, its_end:
            heard: list[bytes] = []
            loop.add(ours.fileno(), lambda events: heard.append(ours.recv(1)))
            loop.add(other.fileno(), lambda events: heard.append(other.recv(1)))
            theirs.send(b"123")
            its_end.send(b"x")
            assert loop.serve_alone(ours.fileno(), lambda: len(heard) == 2)
            assert heard == [b"1", b"2"]

    def test_a_descriptor_that_is_removed_ends_it(self, loop: Loop) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            loop.add(ours.fileno(), lambda events: loop.remove(ours.fileno()))
            theirs.close()
            assert not loop.serve_alone(ours.fileno(), lambda: False)


class TestDeadlines:
    def test_a_deadline_is_kept_on_the_real_clock(self, loop: Loop, link: EchoLink, pty_port: Port) -> None:
        host = open_host(pty_port)
        link.deadline = SystemClock().now() + 0.02
        os.write(host, b"x")
        run_until(loop, arrived(host, b"x"))
        link.polled, link.deadline = [b"late"], None
        run_until(loop, arrived(host, b"late"))
        os.close(host)

    def test_on_a_clock_that_stands_still_data_wakes_it(self, link: EchoLink) -> None:
        clock = ManualClock(1000.0)
        loop = Loop(clock, ticking=False, monotonic=monotonic)
        port = pty.PtyPort(loop, link)
        port.plug()
        host = open_host(port)
        link.deadline = 1015.0
        os.write(host, b"x")
        run_until(loop, arrived(host, b"x"))
        assert loop._timeout() is None
        link.polled = [b"done"]
        clock.advance(15)
        loop.poll_waiting()
        assert os.read(host, 100) == b"done"
        os.close(host)
        port.unplug()
        loop.close()

    def test_what_never_comes_true_is_given_up_in_time(self, loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("firmware_sim.links.loop._RETRIES", 20)
        asked: list[int] = []
        loop.when(lambda: bool(asked.append(1)), loop.stop)
        loop.run()
        assert len(asked) == 21

    def test_what_is_repeated_comes_at_its_time_and_no_sooner(self) -> None:
        now = 100.0
        loop = Loop(ManualClock(0.0), ticking=False, monotonic=lambda: now)
        called: list[float] = []

        def done() -> bool:
            called.append(now)
            return len(called) == 2

        def a_second_passes() -> bool:
            nonlocal now
            now += 1.0
            return now == 110.0

        loop.repeat(done, 3.0)
        assert loop._timeout() == 3.0
        loop.when(a_second_passes, loop.stop)
        loop.run()
        assert called == [103.0, 106.0]
        assert loop._timeout() is None
        loop.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_loop(loop: Loop, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stopped_by_signals(loop):
        os.kill(os.getpid(), number)
        loop.run()
    assert signal.getsignal(number) is before
