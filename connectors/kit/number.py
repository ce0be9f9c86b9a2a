"""A whole number as a source spells it."""

MOST_DIGITS = 18


def whole_number(said: object) -> int | None:
    """Read a count; None for what is none, or beyond all reason: of 4,300 digits Python itself makes no number."""
    text = str(said).strip()
    return int(text) if len(text) <= MOST_DIGITS and text.isdecimal() else None
