"""Moments reckoned from now, so that no rule of days ever overtakes what a test has made."""

from __future__ import annotations

import time
from datetime import UTC, datetime

DAY = 24 * 60 * 60
_NOW = int(time.time())
# When all that the sample stores hold was used last, in ms: long enough ago not to be in use, too recently to be stale.
BORN = (_NOW - 3 * DAY) * 1000
# The stamp of the sample's one archive, which is no rule's yet either.
PUT_AWAY = f"{datetime.fromtimestamp(_NOW - 20 * DAY, UTC):%Y-%m-%dT%H-%M-%S}.000Z"
