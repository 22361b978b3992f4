"""What no output may hold, as a terminal could take it for an order."""

from __future__ import annotations

import re

# C0 but the newline that ends a line, DEL, C1.
RAW = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
