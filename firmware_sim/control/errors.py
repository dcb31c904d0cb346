"""What a hand at the bench can get wrong, or find impossible."""

from __future__ import annotations


class ControlError(Exception):
    """A control command, or a request to the simulator, that cannot be carried out.

    The message says what happened, to which thing, and what to do. `exit_code` is the one of the command line:
    1 internal error, 2 usage, 3 no simulator there, 6 PIN, 9 bad input data.
    """

    def __init__(self, message: str, *, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code
