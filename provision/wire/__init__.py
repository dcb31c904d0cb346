"""Bytes <-> messages, both directions, role-blind: no I/O, no clock, no policy, no state.

The only part that the host and the simulated device share. It raises only WireError. What is shared could be wrong
on both ends at once; vectors written by hand and programs written by others guard against that.
"""


class WireError(Exception):
    """Bytes that are not the message they should be. The message says which rule they break, never their content."""
