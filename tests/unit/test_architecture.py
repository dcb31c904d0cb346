"""The arrows of the house, read from the imports themselves: also those inside functions and under TYPE_CHECKING."""

from __future__ import annotations

import ast
import pathlib
import re
from collections.abc import Iterator
from functools import cache

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Who may import whom, inside each package; a module may always import its own layer.
HOST = {
    "wire": set(),
    "errors": set(),
    "model": {"errors"},
    "closing": set(),
    "locking": set(),
    "newfile": set(),
    "sqlite": set(),
    "extras": set(),
    "clock": {"errors", "locking"},
    "otp": {"errors", "model"},
    "otpauth": {"errors", "model"},
    "links": {"wire", "errors", "model", "clock", "closing", "extras"},
    "families": {"links", "wire", "errors", "model", "clock"},
    "drift": {"errors", "model"},
    "seeds": {"errors", "model", "clock", "otp", "otpauth"},
    "servers": {"errors", "model", "clock", "otp", "otpauth", "newfile", "closing", "sqlite"},
    "station": {"families", "seeds", "servers", "drift", "links", "errors", "model", "clock", "otp", "locking"}
    | {"closing", "sqlite"},
    "cli": {"station", "families", "seeds", "servers", "drift", "links", "wire"}
    | {"errors", "model", "clock", "otp", "otpauth", "newfile", "extras"},
    "__main__": {"cli"},
}
_OSCILLATOR = {"oscillator", "oscillator_state", "temperature", "exact"}  # one thing in four modules
DEVICE = {
    "seams": set(),
    "files": set(),
    "clocks": {"seams", "files"},
    "flash": {"seams"},
    "journal": {"seams", "flash"},
    "exact": {"seams"},
    "temperature": {"seams", "exact"},
    "oscillator_state": {"seams", "exact", "temperature"},
    "oscillator": {"seams"} | _OSCILLATOR,
    "fileflash": {"seams", "flash"},
    "tokenimage": {"seams", "flash", "oscillator_state"},
    "statefile": {"seams", "flash", "files", "fileflash", "tokenimage"} | _OSCILLATOR,
    "core": {"seams", "flash", "journal"} | _OSCILLATOR,
    "families": {"core", "journal", "seams"},
    "links": {"families", "core", "seams"},
    "control": {"links", "families", "core", "statefile", "tokenimage", "flash", "journal", "clocks", "seams"}
    | _OSCILLATOR,
    "cli": {"control", "links", "families", "core", "statefile", "tokenimage", "flash", "clocks", "seams"}
    | _OSCILLATOR,
    "testing": {"links", "families", "core", "flash", "journal", "clocks", "seams"} | _OSCILLATOR,
    "__main__": {"cli"},
}
# The plugin of pytest is where host and device meet, so it may import either, and neither may import it.
MEETING: dict[str, set[str]] = {
    "declared": set(),
    "report": set(),
    "clocks": set(),
    "token": {"clocks"},
    "inprocess": {"token", "declared", "clocks"},
    "process": {"token", "declared", "clocks"},
    "real": {"token", "declared", "clocks"},
    "server": {"clocks"},
    "making": {"inprocess", "process", "real", "token", "declared", "clocks", "report"},
    "plugin": {"making", "server", "process", "real", "token", "declared", "clocks", "report"},
}
PACKAGES = {"provision": HOST, "firmware_sim": DEVICE, "pytest_hwtoken": MEETING}


def modules(package: str) -> list[tuple[str, pathlib.Path]]:
    """(dotted name, path) of every module of a package, `__init__` files under their package's name."""
    found = []
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = list(path.relative_to(ROOT).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        found.append((".".join(parts), path))
    return found


@cache
def nodes(source: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(source)))


def imports(source: str) -> Iterator[str]:
    """Every dotted name that a module imports, wherever the import stands."""
    for node in nodes(source):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only, so that a reader can search for them"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(module: str) -> str | None:
    """The floor on which a module of ours stands; None for the package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def broken(module: str, source: str) -> list[str]:
    """Each arrow of `module` that points where it must not."""
    package = module.split(".")[0]
    rules = PACKAGES[package]
    here = layer(module)
    wrong = []
    for target in imports(source):
        top, there = target.split(".")[0], layer(target)
        if top not in PACKAGES or there is None:
            continue
        if top != package:
            if package != "pytest_hwtoken" and not (
                package == "firmware_sim" and (top, there) == ("provision", "wire")
            ):
                wrong.append(f"{module} imports {target}")
        elif there != here and (here not in rules or (there in rules and there not in rules[here])):
            wrong.append(f"{module} imports {target}")
        if top == package and target == f"{top}.{there}" and there not in rules and here is not None:
            wrong.append(f"{module} imports {target}, a floor that the plan does not name")
    return wrong


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_point_down(package: str) -> None:
    assert [line for name, path in modules(package) for line in broken(name, path.read_text("utf-8"))] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_stands_on_a_known_floor(package: str) -> None:
    floors = {layer(name) for name, _ in modules(package)} - {None}
    assert floors <= set(PACKAGES[package])


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("provision.station.program", "def late():\n    import firmware_sim.core.token"),
        ("provision.wire.framing", "from provision.errors import ProvisionError"),
        ("provision.seeds.text", "from provision.servers import backend"),
        ("firmware_sim.core.token", "from provision.errors import ProvisionError"),
        ("firmware_sim.core.token", "from firmware_sim.links import pty"),
        ("firmware_sim.core.token", "from firmware_sim import links"),
        ("provision.links.serial", "import provision.station.ledger"),
        ("provision.links.serial", "import pytest_hwtoken.clocks"),
        ("firmware_sim.testing.bench", "import pytest_hwtoken.clocks"),
        ("pytest_hwtoken.clocks", "import pytest_hwtoken.token"),
    ],
)
def test_a_wrong_arrow_is_seen(module: str, source: str) -> None:
    assert broken(module, source)


def test_the_packages_themselves_hold_no_code() -> None:
    """Else the device would load what the host's package loads, for the sake of provision.wire."""
    for package in ("provision", "firmware_sim"):
        tree = ast.parse((ROOT / package / "__init__.py").read_text("utf-8"))
        assert tree.body == [] or (len(tree.body) == 1 and ast.get_docstring(tree))


def unlisted(docstring: str, names: set[str]) -> set[str]:
    """What a package's own list of its modules leaves out, lines of a name and what it is for; of no list, nothing."""
    listed = names & set(re.findall(r"^(?: {4})?([a-z_]+) ", docstring, re.MULTILINE))
    return names - listed if len(listed) > 1 else set()


def test_a_package_that_lists_its_modules_lists_them_all() -> None:
    left_out = {}
    for package in PACKAGES:
        for _, path in modules(package):
            beside = {one.stem for one in path.parent.glob("*.py")} | {
                one.parent.name for one in path.parent.glob("*/*.py")
            }
            docstring = ast.get_docstring(ast.parse(path.read_text("utf-8")), clean=False) or ""
            if path.name == "__init__.py" and (names := unlisted(docstring, beside - {"__init__"})):
                left_out[str(path.relative_to(ROOT))] = names
    assert left_out == {}


@pytest.mark.parametrize(("library", "allowed"), [("click", {"cli", "__main__"})])
def test_only_the_command_lines_know_click(library: str, allowed: set[str]) -> None:
    users = {
        name
        for package in PACKAGES
        for name, path in modules(package)
        if library in {target.split(".")[0] for target in imports(path.read_text("utf-8"))}
    }
    assert {name for name in users if layer(name) not in allowed} == set()


def test_only_the_clock_modules_ask_the_system_for_the_time() -> None:
    # `time` has nothing but clocks and naps in it, so its import is the asking, under whatever name.
    asking = {
        name
        for package in PACKAGES
        for name, path in modules(package)
        if "time" in imports(path.read_text("utf-8"))
        or any(
            isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "today"} and _is_calendar(node.value)
            for node in nodes(path.read_text("utf-8"))
        )
    }
    assert asking == {"provision.clock", "firmware_sim.clocks"}


def _is_calendar(node: ast.AST) -> bool:
    return ast.unparse(node).split(".")[-1] in {"datetime", "date"}
