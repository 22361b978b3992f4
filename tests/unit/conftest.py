from __future__ import annotations

from hypothesis import HealthCheck, settings

# The first example builds hypothesis' table of Unicode, which takes seconds on a busy machine.
settings.register_profile("unit", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unit")
