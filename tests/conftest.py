"""What holds for every test: how Hypothesis looks for examples.

No deadlines: how long an example takes on a busy machine says nothing about the code (speed is measured in bench/).
The examples are the same at every run, so that none fails by luck; where HWTOKEN_EXPLORE is set they are new ones,
and a failure prints how to repeat it.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "hwtoken",
    deadline=None,
    print_blob=True,
    derandomize="HWTOKEN_EXPLORE" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("hwtoken")
