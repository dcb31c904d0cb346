"""The fixtures that every pytest has where hwtoken is installed; docs/PYTEST.md tells about them.

Whoever has hwtoken installed pays for this import in each run of pytest, so it loads nothing but pytest: everything
else is imported by the first fixture that needs it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_hwtoken.declared import DeclarationError, declared
from pytest_hwtoken.report import IN_PROCESS, LinksRun, note_skipped

if TYPE_CHECKING:
    from pytest_hwtoken.clocks import TokenClock
    from pytest_hwtoken.real import RealToken
    from pytest_hwtoken.server import BenchServer
    from pytest_hwtoken.token import BenchToken

_SIMULATED = "sim"
LINKS = ("pty", "tcp", "usbip", "vhci", "vpcd")
_MARKER_LINE = (
    "token(family=, model=, firmware=, serial=, pin=, aged=, offset_s=, rate_error_ppm=, ageing_ppm_per_year=, "
    "temperature_c=, profile=, jitter_us=, clock=): the state in which the test gets its token (hwtoken)"
)
HARDWARE = pytest.StashKey["RealToken | None"]()
_REQUIRED_LINKS = pytest.StashKey[tuple[str, ...]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hwtoken", "hwtoken: OTP tokens, simulated and real")
    group.addoption(
        "--token",
        dest="hwtoken_token",
        default=_SIMULATED,
        metavar="sim|ADDRESS",
        help="Where the token fixtures get their tokens: simulated (the default), or the real one at that address.",
    )
    group.addoption(
        "--token-serial",
        dest="hwtoken_serial",
        metavar="SERIAL",
        help="With --token=ADDRESS, and needed there: the only token that these tests may touch.",
    )
    group.addoption(
        "--token-erase",
        dest="hwtoken_erase",
        action="store_true",
        help="With --token=ADDRESS: erase that token before each test. Without it, it is only read.",
    )
    group.addoption(
        "--require-link",
        dest="hwtoken_links",
        action="append",
        default=[],
        metavar="LINK[,LINK]",
        help=f"Run the tests of token_process on each of these ({', '.join(LINKS)}); one that does not work fails.",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER_LINE)
    hardware = config.stash[HARDWARE] = _hardware(config)
    required = config.stash[_REQUIRED_LINKS] = _required_links(config)
    if hardware is not None and required:
        raise pytest.UsageError("--require-link is for simulated tokens: a real one hangs on the link it has")
    links = LinksRun(required, None if hardware is None else str(hardware))
    config.pluginmanager.register(links, "hwtoken-links")


def _hardware(config: pytest.Config) -> RealToken | None:
    address, serial = config.getoption("hwtoken_token"), config.getoption("hwtoken_serial")
    erase = config.getoption("hwtoken_erase")
    if address == _SIMULATED:
        if serial or erase:
            raise pytest.UsageError("--token-serial and --token-erase are for --token=ADDRESS")
        return None
    if not serial:
        raise pytest.UsageError(
            f"--token={address} wants --token-serial too, so that no other token is touched; "
            f"`provision info --token {address}` tells it"
        )
    if hasattr(config, "workerinput") or any(config.getoption(name, None) for name in ("numprocesses", "tx")):
        raise pytest.UsageError("a real token has one port: run its tests in one process, without -n")
    from pytest_hwtoken.real import RealToken

    return RealToken(address, serial, erase)


def _required_links(config: pytest.Config) -> tuple[str, ...]:
    given: list[str] = config.getoption("hwtoken_links")
    links = tuple(dict.fromkeys(link.strip() for links in given for link in links.split(",")))
    if "" in links:  # it would demand nothing, and nobody would notice
        raise pytest.UsageError("--require-link has an empty name in it: is a variable empty that it is made of?")
    if strange := [link for link in links if link not in LINKS]:
        raise pytest.UsageError(f"--require-link does not know {', '.join(strange)}; there are {', '.join(LINKS)}")
    return links


def pytest_sessionstart(session: pytest.Session) -> None:
    """A wrong token is found out before the first test."""
    hardware = session.config.stash[HARDWARE]
    if hardware is None or session.config.option.collectonly:
        return
    from provision.errors import ProvisionError
    from pytest_hwtoken.token import BenchError

    try:
        hardware.require_present()
    except (ProvisionError, BenchError) as error:
        raise pytest.UsageError(str(error)) from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test of token_process once on each link that is required, unless it names its links itself."""
    required = metafunc.config.stash[_REQUIRED_LINKS]
    if not required or "token_process" not in metafunc.fixturenames or _names_its_links(metafunc):
        return
    from firmware_sim.families.family import UnknownFamily
    from pytest_hwtoken.process import fitting_links

    try:
        links = fitting_links(declared(metafunc.definition), required)
    except (DeclarationError, UnknownFamily):
        return  # the fixture tells, as the test's failure
    metafunc.parametrize("token_process", links, indirect=True)


def _names_its_links(metafunc: pytest.Metafunc) -> bool:
    for marker in metafunc.definition.iter_markers("parametrize"):
        names = marker.kwargs.get("argnames", marker.args[0] if marker.args else ())
        if "token_process" in (names.replace(" ", "").split(",") if isinstance(names, str) else names):
            return True
    return False


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """A test that is skipped before its token was made is one that was skipped, too."""
    skipped = call.excinfo is not None and call.excinfo.errisinstance(pytest.skip.Exception)
    if skipped and {"token", "token_process"}.intersection(getattr(item, "fixturenames", ())):
        note_skipped(item)


# The fixtures


@pytest.fixture(scope="session")
def _token_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Names for files that no other test of this run has; one folder for all, since a folder for each takes time."""
    folder, numbers = tmp_path_factory.mktemp("hwtoken"), itertools.count(1)
    return lambda name: folder / f"{next(numbers)}-{name}"


@pytest.fixture
def token_clock(request: pytest.FixtureRequest, _token_file: Callable[[str], Path]) -> TokenClock:
    """The true time of the test, shared by its tokens and its server: 2026 begins, and `advance("18 months")` moves it.
    `token_clock.option` is for `--clock` of programs."""
    from pytest_hwtoken.making import clock

    return clock(request.node, request.config.stash[HARDWARE], _token_file)


@pytest.fixture
def token(
    request: pytest.FixtureRequest, token_clock: TokenClock, _token_file: Callable[[str], Path]
) -> Iterator[BenchToken]:
    """A token in this process, as the test's marker declares it; or the real one of `--token=ADDRESS`."""
    if hasattr(request, "param"):  # whoever names a link here would get none, and not notice
        pytest.fail("the fixture token has no link to choose: it is token_process that has", pytrace=False)
    from pytest_hwtoken.making import bench_token

    with bench_token(request.node, request.config.stash[HARDWARE], IN_PROCESS, token_clock, _token_file) as made:
        yield made


@pytest.fixture
def token_process(
    request: pytest.FixtureRequest, token_clock: TokenClock, _token_file: Callable[[str], Path]
) -> Iterator[BenchToken]:
    """A token in a process of its own, on the best link of this platform or each of `--require-link`; or the real one.

    `@pytest.mark.parametrize("token_process", ["usbip"], indirect=True)` chooses the link.
    """
    from pytest_hwtoken.making import bench_token

    link = getattr(request, "param", None)
    with bench_token(request.node, request.config.stash[HARDWARE], link, token_clock, _token_file) as made:
        yield made


@pytest.fixture
def token_address(token_process: BenchToken) -> str:
    """Where `token_process` is, as `provision --token` takes it."""
    return token_process.address


@pytest.fixture
def token_server(token_clock: TokenClock, _token_file: Callable[[str], Path]) -> Iterator[BenchServer]:
    """An empty authentication server on the test's clock, as `provision --server` and as Python take it."""
    from pytest_hwtoken.server import bench_server

    with bench_server(_token_file("server.db"), token_clock) as server:
        yield server
