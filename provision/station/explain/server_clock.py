"""Is it the server's clock? Other people's logins say so, this token's codes, and the clock that the station has."""

from __future__ import annotations

from provision.drift.estimate import Interval
from provision.station.explain.case import Case, Certainty, Explanation, holds
from provision.station.explain.clock import Clock
from provision.station.explain.codes import Read, are_taken, surely_taken
from provision.station.explain.crowd import Crowd

SERVER_CLOCK = "server-clock"
_REACH_S = 86_400  # a server that is further off is no riddle
_FAR_OFF_S = 15  # two clocks that differ by less are no reason to refuse a code that is typed at once


def server_clock(case: Case, others: Crowd, token: Read) -> Explanation | None:
    """If it moved, and this token does not contradict it."""
    made = token.clock
    seen_s = None if made is None or made.jump_s is None else (-made.jump_s[1], -made.jump_s[0])
    if agrees_with_the_station(case):
        return None
    if case.server_ahead_s is not None:
        return _two_of_three(case.server_ahead_s, seen_s, others)
    if others.moved_s is not None:
        low, high = others.moved_s
        if seen_s is not None:
            low, high = max(low, seen_s[0]), min(high, seen_s[1])
        if low > high:
            return None
        what = f"the server's clock moved by {_between((low, high))}: everybody is shifted"
        return Explanation(SERVER_CLOCK, Certainty.CERTAIN, what, since_s=others.since_s)
    if not others.shut_out or made is None or seen_s is None or are_taken(case, token) is not False:
        return None
    if not may_be_the_servers(case, token, made):
        return None
    # A clock that was put ahead skips time: there is less of it since all was well than it moved.
    if others.since_s is not None and seen_s[0] > others.since_s[1] - others.since_s[0]:
        return None
    what = (
        f"the server's clock seems to have moved by {_between(seen_s)}: {others.refused} other people are refused, "
        "and nobody else has got in since"
    )
    return Explanation(SERVER_CLOCK, Certainty.LIKELY, what, since_s=others.since_s)


def agrees_with_the_station(case: Case) -> bool:
    return case.server_ahead_s is not None and max(map(abs, case.server_ahead_s)) < _FAR_OFF_S


def _two_of_three(ahead_s: Interval, seen_s: Interval | None, others: Crowd) -> Explanation | None:
    """The server's clock and the station's differ: what the token's, or everybody's, was until now, decides. None where
    neither says that it is the server's."""
    what = f"the server's clock is {_beside(ahead_s)} this station's"
    witnesses = [one for one in (seen_s, others.moved_s) if one is not None and not holds(one)]
    if any(low <= ahead_s[1] and ahead_s[0] <= high for low, high in witnesses):
        return Explanation(SERVER_CLOCK, Certainty.CERTAIN, f"{what}, and so the tokens say", since_s=others.since_s)
    return None


def about_the_server(so_far: Explanation, case: Case, others: Crowd) -> Explanation:
    """With what is known of its clock, where that is not the cause."""
    people = "one other person" if others.fitting == 1 else f"{others.fitting} other people"
    if agrees_with_the_station(case):
        return so_far.without("the server's clock: it is where this station's clock is")
    if case.server_ahead_s is not None:
        return so_far.left_open(
            f"the server's clock: it is {_beside(case.server_ahead_s)} this station's, and the token does not say that "
            "it is wrong: compare both with NTP"
        )
    if others.limps:
        return so_far.left_open(
            f"the server's clock: {others.stumbled} of {others.tried} other people who logged in within a day were "
            "refused at first, too; compare it with NTP"
        )
    if others.fitting:
        return so_far.without(f"the server's clock: {people} got in within a day, with clocks as expected")
    return so_far.left_open(
        "the server's clock: nobody else whose clock is known got in within a day; compare it with NTP"
    )


def may_be_the_servers(case: Case, token: Read, made: Clock) -> bool:
    """Whether a server whose clock moved explains what this token shows."""
    if made.before is None or made.jump_s is None:
        return True
    (low, high), (least, greatest) = made.before.offset_at(made.seen.b), surely_taken(case, token)
    is_refused_by_a_right_clock = high < least or low > greatest
    is_in_the_open = min(map(abs, made.jump_s)) > _REACH_S and not holds(made.jump_s)  # somebody would have seen it
    return not is_refused_by_a_right_clock and not is_in_the_open


def _beside(ahead_s: Interval) -> str:
    middle_s = float(sum(ahead_s) / 2)
    return f"{abs(middle_s):.0f} s {'ahead of' if middle_s > 0 else 'behind'}"


def _between(bounds: Interval) -> str:
    return f"{float(bounds[0]):+.0f} to {float(bounds[1]):+.0f} s"
