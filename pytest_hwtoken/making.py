"""From what a test declares to a token on its bench: simulated in this process, in another one, or real."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from firmware_sim.control.errors import ControlError
from firmware_sim.families.family import SERIAL_RULE, UnknownFamily, family, is_serial
from firmware_sim.seams import OscillatorError
from provision.errors import ProvisionError
from pytest_hwtoken.clocks import MovedClock, RealClock, TokenClock
from pytest_hwtoken.declared import DeclarationError, Declared, declared, own_seed
from pytest_hwtoken.report import IN_PROCESS, ON_HARDWARE, note
from pytest_hwtoken.token import BenchError, BenchToken, set_pin

if TYPE_CHECKING:
    from pytest_hwtoken.real import RealToken

_LENT = pytest.StashKey[bool]()


def clock(node: pytest.Item, hardware: RealToken | None, token_file: Callable[[str], Path]) -> TokenClock:
    if hardware is not None:
        return RealClock(pytest.skip)
    with _told():
        wanted = declared(node)
    return RealClock(pytest.fail) if wanted.clock == "system" else MovedClock(token_file("clock"))


@contextlib.contextmanager
def bench_token(
    node: pytest.Item,
    hardware: RealToken | None,
    link: str | None,
    clock: TokenClock,
    token_file: Callable[[str], Path],
) -> Iterator[BenchToken]:
    """The token as the test declares it. `link`: IN_PROCESS, or a wire as `firmware-sim run` names it; None: the best.

    What cannot be had fails the test in one line. What a real token cannot be skips it.
    """
    with _told(), contextlib.ExitStack() as stack:
        wanted = declared(node)
        if hardware is not None:
            token = stack.enter_context(_lent(node, hardware, wanted, clock))
        else:
            token = _simulated(node, wanted, link, clock, token_file, stack)
        stack.callback(token.close)
        if wanted.aged is not None:
            token.age(wanted.aged)
        if wanted.pin is not None:
            set_pin(token, wanted.pin)
        yield token


@contextlib.contextmanager
def _lent(node: pytest.Item, hardware: RealToken, wanted: Declared, clock: TokenClock) -> Iterator[BenchToken]:
    if node.stash.get(_LENT, False):
        pytest.skip(f"needs the simulator: it wants a second token, and there is only {hardware.serial}")
    note(node, ON_HARDWARE)
    node.stash[_LENT] = True
    try:
        yield hardware.borrow(wanted, clock)
    finally:
        node.stash[_LENT] = False


def _simulated(
    node: pytest.Item,
    wanted: Declared,
    link: str | None,
    clock: TokenClock,
    token_file: Callable[[str], Path],
    stack: contextlib.ExitStack,
) -> BenchToken:
    kind = family(wanted.family, model=wanted.model, firmware=wanted.firmware)
    seed = own_seed(node, "token" if link == IN_PROCESS else "token_process")
    serial = f"{kind.serial_prefix}{seed % 10**8:08d}" if wanted.serial is None else wanted.serial
    if not is_serial(serial):
        raise DeclarationError(f"@pytest.mark.token(serial={serial!r}): a serial has {SERIAL_RULE}")
    if link == IN_PROCESS:
        from pytest_hwtoken.inprocess import in_process

        note(node, link)
        return in_process(wanted, clock, serial, seed)
    from pytest_hwtoken.process import TokenProcess, fitting_links

    link = link or fitting_links(wanted, ())[0]
    note(node, link)
    return stack.enter_context(TokenProcess(wanted, clock, serial, seed, link, token_file(f"{link}.log")))


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """What goes wrong with a token's making fails the test in the words of whoever found it, without a traceback."""
    try:
        yield
    except (DeclarationError, UnknownFamily, OscillatorError, ControlError, BenchError, ProvisionError) as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
