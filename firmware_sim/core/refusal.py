"""How a command ends that does not end well. A status word is raised, never returned, so none is overlooked."""

from __future__ import annotations


class Refused(Exception):
    """The command is answered with the status word `sw` and no data, and has changed nothing that the word does not
    speak of."""

    def __init__(self, sw: int) -> None:
        super().__init__(f"{sw:04X}")
        self.sw = sw


class TouchNeeded(Exception):
    """The command is in order, and waits for the button. It is carried out from its beginning once that is pressed.

    `name`: the credential, for the screen.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
