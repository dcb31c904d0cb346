"""Searches beside a seed, each in a process of its own that lives no longer: they take seconds, and no login waits.

The question goes to its standard input and the answer comes from its standard output, both JSON; nothing of it stands
on a command line or in a file. One search runs at a time, so that desks together take one processor at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence

from provision.errors import Rejected
from provision.servers.backend import Fits, SeedSide
from provision.servers.plain import fits_of, plain_question

SEARCH_S = 30.0  # seconds for a search, the wait for its turn included


class Aside:
    """`command`: a program that answers a `plain_question` with `plain_fits`."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._turn = asyncio.Lock()

    async def search(self, side: SeedSide, codes: Sequence[str], first_s: int) -> Fits:
        """Raises Rejected (busy)."""
        try:
            async with asyncio.timeout(SEARCH_S), self._turn:
                return await self._ask(plain_question(side, codes, first_s))
        except TimeoutError:
            raise Rejected(
                f"the search took more than {SEARCH_S:.0f} s", code="busy", hint="ask again when fewer others do"
            ) from None

    async def _ask(self, question: object) -> Fits:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=pipe,
            stdout=pipe,
            start_new_session=True,  # Ctrl-C stops the server, which lets this finish
        )
        try:
            answer, _ = await process.communicate(json.dumps(question).encode("ascii"))
        except BaseException:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                process.kill()
            await process.communicate()  # until it is gone, and its pipes with it
            raise
        return fits_of(json.loads(answer))
