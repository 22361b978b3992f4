"""All tests on other days, across the last second of a year, in other time zones, beside a gateway."""
