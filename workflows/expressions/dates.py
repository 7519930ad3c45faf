"""Dates in expressions are ISO text: read them, shift them, write them; nothing here asks the clock."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, TypeAlias

Date: TypeAlias = date | datetime
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_TOKEN = re.compile(r"\[([^\]]*)\]|YYYY|YY|MMMM|MMM|MM|M|dddd|ddd|DD|D|HH|H|hh|h|mm|ss|A|.", re.DOTALL)
_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?\s*(?:Z|[+-]\d\d:?\d\d)?)?")
_READ: Final = {
    "YYYY": r"(?P<year>\d{4})", "MM": r"(?P<month>\d{2})", "M": r"(?P<month>\d{1,2})",
    "DD": r"(?P<day>\d{2})", "D": r"(?P<day>\d{1,2})", "HH": r"(?P<hour>\d{2})", "H": r"(?P<hour>\d{1,2})",
    "hh": r"(?P<hour>\d{2})", "h": r"(?P<hour>\d{1,2})", "mm": r"(?P<minute>\d{2})", "ss": r"(?P<second>\d{2})",
    "YY": r"(?P<short>\d{2})", "A": r"(?P<half>[AaPp][Mm])", "MMMM": r"(?P<name>[A-Za-z]+)",
    "MMM": r"(?P<name>[A-Za-z]{3})", "dddd": r"[A-Za-z]+", "ddd": r"[A-Za-z]{3}",
}  # fmt: skip


def read(text: str) -> Date:
    """An ISO date or moment; one without an offset is taken as UTC. Raises ValueError."""
    text = text.strip()
    if not _ISO.fullmatch(text):
        raise ValueError("not an ISO date")
    if len(text) == 10:
        return date.fromisoformat(text)
    moment = datetime.fromisoformat(text.replace(" ", "T", 1).replace(" ", ""))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def write(value: Date) -> str:
    """ISO text again: `2026-11-20`, or `2026-11-20T09:30:00Z` for a moment."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat()


def moment(value: Date) -> datetime:
    """A date as its first moment in UTC, a moment as it is."""
    return value if isinstance(value, datetime) else datetime.combine(value, time(), UTC)


def shift(value: Date, *, days: float = 0, minutes: float = 0) -> Date:
    """Later or earlier; a date stays a date while the shift is whole days. Raises OverflowError past the year 9999."""
    delta = timedelta(days=days, minutes=minutes)
    if isinstance(value, datetime) or not (delta / timedelta(days=1)).is_integer():
        return moment(value) + delta
    return value + delta


def spell(value: Date, pattern: str) -> str:
    """A date in the pattern's form: YYYY, MM, DD, D, MMMM, MMM, dddd, ddd, HH, H, hh, h, mm, ss, A; [text] stays."""
    at = moment(value)
    words = {
        "YYYY": f"{at.year:04}", "YY": f"{at.year % 100:02}", "MMMM": _MONTHS[at.month - 1],
        "MMM": _MONTHS[at.month - 1][:3], "MM": f"{at.month:02}", "M": str(at.month),
        "dddd": _DAYS[at.weekday()], "ddd": _DAYS[at.weekday()][:3], "DD": f"{at.day:02}", "D": str(at.day),
        "HH": f"{at.hour:02}", "H": str(at.hour), "hh": f"{(at.hour - 1) % 12 + 1:02}",
        "h": str((at.hour - 1) % 12 + 1), "mm": f"{at.minute:02}", "ss": f"{at.second:02}",
        "A": "AM" if at.hour < 12 else "PM",
    }  # fmt: skip
    return _TOKEN.sub(lambda found: words.get(found.group(), found.group(1) or found.group()), pattern)


def read_as(text: str, pattern: str) -> Date:
    """A date written in the pattern's form. Raises ValueError."""
    pieces: list[str] = []
    seen: set[str] = set()
    for found in _TOKEN.finditer(pattern):
        token = found.group()
        # Each part once: a pattern of many repeats would make the search below very slow.
        if token in _READ and token in seen:
            raise ValueError(f"{token} stands twice in the pattern")
        seen.add(token)
        pieces.append(_READ.get(token) or re.escape(found.group(1) or token))
    try:
        matched = re.fullmatch("".join(pieces), text.strip())
    except re.error as error:
        raise ValueError("a part of the pattern stands twice") from error
    if not matched:
        raise ValueError("the text does not have this form")
    got = matched.groupdict()
    month = int(got.get("month") or 1)
    if name := got.get("name"):
        month = next((n for n, full in enumerate(_MONTHS, 1) if full.lower().startswith(name.lower())), 0)
    year = int(got["year"]) if got.get("year") else 2000 + int(got.get("short") or 0)
    day = date(year, month, int(got.get("day") or 1))
    if not got.get("hour"):
        return day
    hour = int(got["hour"])
    if half := got.get("half"):
        hour = hour % 12 + (12 if half.lower() == "pm" else 0)
    return datetime.combine(day, time(hour, int(got.get("minute") or 0), int(got.get("second") or 0)), UTC)
