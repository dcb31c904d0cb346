"""The plugin of pytest. (PYTEST_DONT_REWRITE: there is no assert of a test in it.)

pytest rewrites the asserts of all that is in the distribution of a plugin, which is hwtoken as a whole: compiled anew
in each run where pytest may not or should not write beside it, as in most containers. So our modules are found here
first, as Python itself finds them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_OURS = frozenset({"provision", "firmware_sim", "pytest_hwtoken"})
_HOME = __file__.rpartition("pytest_hwtoken")[0]  # another's package of such a name is not for us to find


class AsTheyAre:
    """A finder of modules, for sys.meta_path."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in _OURS:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        return spec if spec is not None and (spec.origin or "").startswith(_HOME) else None


sys.meta_path.insert(0, AsTheyAre)
