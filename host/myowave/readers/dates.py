"""The day in a recording's header, whatever the language of the computer that wrote it."""

import re
from datetime import datetime
from typing import Literal

DateOrder = Literal["auto", "dmy", "mdy"]

_NUMERIC = re.compile(r"^(\d{1,4})[/.\-](\d{1,2})[/.\-](\d{1,4})(?:[ T]+(.*))?$")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?(?:[.,]\d+)?\s*([AaPp][Mm])?")


def parse_day(text: str, order: DateOrder = "auto") -> tuple[str, str]:
    """Return a header's date as ISO day and ISO date with time.

    Both are empty strings where `text` is no date. 05/02/2025 is the fifth of February unless
    `order` says otherwise or the clock reads AM or PM, as it does where the month comes first.

    >>> parse_day("29/01/2025 10:22:21")
    ('2025-01-29', '2025-01-29T10:22:21')
    >>> parse_day("1/29/2025 2:03:04 PM")
    ('2025-01-29', '2025-01-29T14:03:04')
    >>> parse_day("yesterday")
    ('', '')
    """
    match = _NUMERIC.match(text.strip())
    if match is None:
        return "", ""
    first, second, third = (int(match.group(i)) for i in (1, 2, 3))
    clock = _CLOCK.search(match.group(4) or "")
    hour, minute, second_of_minute = 0, 0, 0
    if clock is not None:
        hour, minute = int(clock.group(1)), int(clock.group(2))
        second_of_minute = int(clock.group(3) or 0)
        if clock.group(4):
            hour = hour % 12 + (12 if clock.group(4).lower() == "pm" else 0)
    if first > 31:
        year, month, day = first, second, third
    else:
        year = third
        american = order == "mdy" or (order == "auto" and clock is not None and clock.group(4))
        month, day = (first, second) if american else (second, first)
        if order == "auto" and month > 12:
            month, day = day, month
    try:
        when = datetime(year, month, day, hour, minute, second_of_minute)
    except ValueError:
        return "", ""
    return when.date().isoformat(), when.isoformat()
