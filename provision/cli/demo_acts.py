"""The four acts of the demo. A step runs commands as a person would and returns what there is to see, or raises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from provision.cli.demo_stage import BrokenPromise, Cast, Ran, Stage

USER, DEVICE, CREDENTIAL = "anna", "desk token", "hwtoken:anna"
TIME_STEP_S = 30
DRAWER = "18 months"


@dataclass(frozen=True, slots=True)
class Step:
    """`promise`: what the audience is told will happen. `run` returns what was seen, its first line beside it."""

    promise: str
    run: Callable[[Stage], str]


def _expect(ran: Ran, exit_code: int) -> dict[str, Any]:
    """The result of a command that must end with `exit_code`; its error object if that is not 0."""
    if ran.exit_code != exit_code:
        error = ran.last.get("error", {}).get("message") or ran.stderr
        raise BrokenPromise(f"exit code {ran.exit_code} instead of {exit_code}: {error}")
    return ran.last.get("error", ran.last) if exit_code else ran.last


def _require(held: bool, what: str) -> None:
    if not held:
        raise BrokenPromise(what)


def _program(stage: Stage) -> Ran:
    return stage.provision_attended(
        *("token", "program", "--token", stage.address, "--user", USER, "--name", DEVICE),
        *("--server", stage.server, "--ledger", str(stage.ledger), *_administrator(stage)),
        *(("--pin-file", str(stage.pin)) if stage.cast.pin else ("--no-pin",)),
        *("--passphrase-file", str(stage.passphrase)),
    )


def _administrator(stage: Stage) -> tuple[str, ...]:
    return ("--admin-key-file", str(stage.admin_key)) if stage.cast.own_keys else ()


def _code(stage: Stage) -> str:
    """As the token's owner gets it."""
    if stage.cast.shows:
        return str(stage.sim("press")["screen"].split()[-1])
    pin = ("--pin-file", str(stage.pin)) if stage.cast.pin else ()
    ran = stage.provision("token", "code", CREDENTIAL, "--token", stage.address, *pin)
    return str(_expect(ran, 0)["code"])


def _check(stage: Stage, code: str) -> Ran:
    arguments = ("server", "check", "--user", USER, "--server", stage.server, "--code-file", "-")
    return stage.provision(*arguments, stdin=code + "\n")


def _device(stage: Stage) -> dict[str, Any]:
    ran = stage.provision("server", "list", "--user", USER, "--server", stage.server)
    (device,) = _expect(ran, 0)["devices"]
    found: dict[str, Any] = device
    return found


def _truth_s(stage: Stage) -> float:
    return float(stage.sim("inspect")["truth"]["offset_s"])


def _held(stage: Stage) -> dict[str, Any]:
    """What the token holds, seen from inside the simulation."""
    view: dict[str, Any] = stage.sim("inspect")["token"]
    return view


# Act 1: a box arrives


def _prepare(stage: Stage) -> str:
    _expect(
        stage.provision(
            *("ledger", "init", "--ledger", str(stage.ledger), "--passphrase-file", str(stage.passphrase)),
            *("--new-admin-key-file", str(stage.admin_key)),
        ),
        0,
    )
    _expect(stage.provision("server", "init", "--server", stage.server), 0)
    return "seeds are sealed to its key, never in the clear"


def _unbox(stage: Stage) -> str:
    # A crystal as cheap tokens have them; nobody at the desk knows these numbers.
    born = stage.unbox("--offset-s", "-41.3", "--rate-error-ppm", "-4", "--ageing-ppm-per-year", "-0.5")
    info = _expect(stage.provision("info", "--token", stage.address), 0)
    _require(info["factory_keys"] is not False, "a new token should have the factory's keys")
    return f"{info['serial']} on {born['address'].partition(':')[2]}"


def _owner_types_pin(stage: Stage) -> str:
    for _ in range(2):
        stage.sim("type-pin", stdin=stage.read(stage.pin) + "\n")
    info = _expect(stage.provision("info", "--token", stage.address), 0)
    _require(info["attempts_remaining"] == 8, "a new PIN should have 8 attempts")
    return "typed twice; 8 attempts"


def _pulled(stage: Stage) -> str:
    stage.sim("cable", "unplug", "--after", stage.cast.pulled_after)
    ran = _program(stage)
    error = _expect(ran, 3)
    reached = [line["step"] for line in ran.lines if "step" in line]
    _require(reached[-1:] == ["WRITTEN"], f"the cable went at {reached[-1:]}, not after WRITTEN")
    return "\n".join([f"exit 3 after {reached[-1]}", *str(error["message"]).split("; ")])


def _resumed(stage: Stage) -> str:
    stage.address = stage.sim("cable", "plug")["address"]
    ran = _program(stage)
    done = _expect(ran, 0)
    stage.set_s = stage.now()
    notes = {line["step"]: line["note"] for line in ran.lines if "step" in line}
    _require(done["state"] == "DONE", f"the token is {done['state']}, not DONE")
    steps = ("WRITTEN", "TIME_SET", "VERIFIED", "REGISTERED", "SERVER_VERIFIED")
    seen = [f"{step:<17}{notes[step]}" for step in steps if step in notes]
    return "\n".join([f"DONE, {done['machine_s'] * 1000:.0f} ms of machine time", *seen])


# Act 2: every day


def _login(stage: Stage) -> str:
    stage.sim("advance", "8 hours")
    stage.last_code = _code(stage)
    accepted = _expect(_check(stage, stage.last_code), 0)
    return f"step {accepted['step']}, drift {accepted['drift_steps']:+d}"


def _replay(stage: Stage) -> str:
    error = _expect(_check(stage, stage.last_code), 4)
    _require(error["type"] == "CodeReplayed", f"refused as {error['type']}, not as replayed")
    return str(error["message"])


def _wrong_pin(stage: Stage) -> str:
    arguments = ("token", "code", CREDENTIAL, "--token", stage.address, "--pin-file", str(stage.wrong_pin))
    error = _expect(stage.provision(*arguments), 6)
    _require(error["attempts_remaining"] == 7, "one attempt should be gone")
    _require(_held(stage)["attempts_remaining"] == 7, "the token itself should have charged one attempt")
    _code(stage)
    _require(_held(stage)["attempts_remaining"] == 8, "the right PIN should give the attempts back")
    return "7 left, then the right one: 8 again"


# Act 3: eighteen months in a drawer


def _drawer(stage: Stage) -> str:
    stage.sim("advance", DRAWER)
    return "nobody looks at it"


def _refused(stage: Stage) -> str:
    code = _code(stage)
    error = _expect(_check(stage, code), 4)
    _require(error["type"] == "CodeMismatch", f"refused as {error['type']}")
    stage.sim("advance", f"{TIME_STEP_S} s")
    return str(error["message"])


def _explained(stage: Stage) -> str:
    stage.sim("advance", "10 minutes")  # the server makes a guesser wait, and so everybody
    first = _code(stage)
    stage.sim("advance", f"{TIME_STEP_S} s")
    stage.last_codes = f"{first}\n{_code(stage)}\n"
    # Nobody types here, and this clock knows no weather: nothing has to be allowed for.
    exact = ("--delay-s", "0", "--server-error-s", "0", "--wander-s", "0")
    ran = stage.provision("explain", USER, "--server", stage.server, "--codes", "-", *exact, stdin=stage.last_codes)
    found = _expect(ran, 0)
    _require(found["cause"] == "clock-drift", f"explained as {found['cause']}")
    (low, high), (slowest, fastest) = found["offset_s"], found["rate_error_ppm"]
    truth = stage.sim("inspect")["truth"]
    offset_s, since_s = float(truth["offset_s"]), stage.now() - stage.set_s
    rate_ppm = offset_s / since_s * 1e6
    _require(low <= offset_s <= high, f"the truth {offset_s:.1f} s is not within {low:.1f}..{high:.1f} s")
    _require(slowest <= rate_ppm <= fastest, f"the truth {rate_ppm:.2f} ppm is not within {slowest}..{fastest} ppm")
    return "\n".join(
        [
            str(found["what"]),
            f"offset {low:+.1f} to {high:+.1f} s; in truth {offset_s:+.1f} s",
            f"rate {slowest:+.2f} to {fastest:+.2f} ppm; in truth {rate_ppm:+.2f} ppm since it was set",
            f"now: {found['now']}",
        ]
    )


def _resynchronised(stage: Stage) -> str:
    device = _device(stage)["device_id"]
    arguments = ("server", "resync", device, "--server", stage.server, "--code-file", "-")
    learned = _expect(stage.provision(*arguments, stdin=stage.last_codes), 0)
    return f"drift {learned['drift_steps']:+d} steps"


def _login_with_drift(stage: Stage) -> str:
    stage.sim("advance", "1 day")
    accepted = _expect(_check(stage, _code(stage)), 0)
    return f"step {accepted['step']}, drift {accepted['drift_steps']:+d}"


def _clock_mended(stage: Stage) -> str:
    ran = stage.provision(
        *("token", "set-time", "--token", stage.address, *_administrator(stage)),
        *("--server", stage.server, "--ledger", str(stage.ledger)),
    )
    low, high = _expect(ran, 0)["residual_ms"]
    truth_ms = _truth_s(stage) * 1000
    _require(low - 0.01 <= truth_ms <= high + 0.01, f"the truth {truth_ms:.3f} ms is not within {low}..{high} ms")
    _require(_device(stage)["drift_steps"] == 0, "the server should have forgotten the drift")
    return f"residual [{low:+.3f}, {high:+.3f}] ms; the server's drift is 0"


def _clock_not_set(stage: Stage) -> str:
    error = _expect(stage.provision("token", "set-time", "--token", stage.address), 2)
    _require(error["type"] == "NotSupported", f"refused as {error['type']}")
    return str(error["message"])


def _rotated(stage: Stage) -> str:
    serial = _held(stage)["serial"]
    ran = stage.provision_attended(
        *("token", "rotate", "--token", stage.address, "--serial", serial, "--ledger", str(stage.ledger)),
        *("--passphrase-file", str(stage.passphrase), *_administrator(stage)),
    )
    done = _expect(ran, 0)
    _require(done["state"] == "DONE", f"the token is {done['state']}, not DONE")
    truth = _truth_s(stage)
    _require(abs(truth) < 1, f"the clock is {truth:.1f} s off")
    _require(_device(stage)["drift_steps"] == 0, "a new device should have no drift")
    return "\n".join(["DONE again", *(f"{line['step']:<17}{line['note']}" for line in ran.lines if "step" in line)])


def _wrong_key(stage: Stage) -> str:
    wrong = ("--token-key-file", str(stage.wrong_pin))
    error = _expect(stage.provision("token", "lock", "--token", stage.address, *wrong), 6)
    _require(error["attempts_remaining"] == 7, "one try should be gone")
    _require(_held(stage)["attempts_remaining"] == 7, "the token itself should have charged one try")
    _expect(stage.provision("token", "unlock", "--token", stage.address, *_administrator(stage)), 0)
    _require(_held(stage)["attempts_remaining"] == 8, "the right key should give the tries back")
    return "7 left, then the right one: 8 again"


def _login_again(stage: Stage) -> str:
    stage.sim("advance", "1 day")
    stage.last_code = _code(stage)
    accepted = _expect(_check(stage, stage.last_code), 0)
    _require(accepted["drift_steps"] == 0, f"drift {accepted['drift_steps']:+d}")
    return f"step {accepted['step']}, drift +0"


# Act 4: handed back


def _retired(stage: Stage) -> str:
    stage.sim("advance", f"{TIME_STEP_S} s")
    stage.last_code = _code(stage)  # a good code, kept by somebody
    serial = _held(stage)["serial"]
    _expect(
        stage.provision(
            *("token", "retire", "--token", stage.address, "--server", stage.server, "--serial", serial),
            *("--ledger", str(stage.ledger), *_administrator(stage)),
        ),
        0,
    )
    if stage.cast.shows:
        _require(_code(stage) != stage.last_code, "the token should give that code no more")
    else:
        _require(_held(stage)["credentials"] == [], "the token should hold nothing now")
    ran = stage.provision("server", "list", "--server", stage.server)
    _require(_expect(ran, 0)["devices"] == [], "the server should know nothing now")
    return "the server's device and the token's seed are gone"


def _old_code_refused(stage: Stage) -> str:
    error = _expect(_check(stage, stage.last_code), 5)
    return str(error["message"])


Act = tuple[str, tuple[Step, ...]]


def acts_of(cast: Cast) -> tuple[Act, ...]:
    """The story as this token plays it."""
    return (
        (
            "A box arrives",
            (
                Step("an administrator makes a ledger and a server", _prepare),
                Step("a token comes out of the box", _unbox),
                *((Step("its owner types a PIN on the keypad", _owner_types_pin),) if cast.pin else ()),
                Step("it is programmed, and the cable is pulled", _pulled),
                Step("the same command again finishes the job", _resumed),
            ),
        ),
        (
            "Every day",
            (
                Step("a login is accepted", _login),
                Step("the same code again is refused as replayed", _replay),
                *((Step("a wrong PIN is charged before it is compared", _wrong_pin),) if cast.pin else ()),
                *((Step("a wrong key is charged, and not tried again", _wrong_key),) if _counts_keys(cast) else ()),
            ),
        ),
        (
            "Eighteen months in a drawer",
            (
                Step(f"{DRAWER} pass", _drawer),
                Step("the code is refused", _refused),
                Step("the next one is refused too", _refused),
                Step("two codes tell why", _explained),
                Step("and the server learns from them", _resynchronised),
                Step("the next login is accepted", _login_with_drift),
                *_mending(cast),
                Step("a login needs no drift any more", _login_again),
            ),
        ),
        (
            "Handed back",
            (
                Step("retiring it closes both sides", _retired),
                Step("a code from before is refused", _old_code_refused),
            ),
        ),
    )


def _counts_keys(cast: Cast) -> bool:
    return cast.own_keys and cast.shows


def _mending(cast: Cast) -> tuple[Step, ...]:
    if not cast.rotates:
        return (Step("the token's own clock is set", _clock_mended),)
    return (
        Step("its clock is not set: that would cost its seed", _clock_not_set),
        Step("it gets a new seed and the time at once", _rotated),
    )
