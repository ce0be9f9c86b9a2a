"""How deep a JSON text is nested, told from its bytes without reading it."""

import numpy as np
import numpy.typing as npt

from connectors.kit.errors import ReplyError

DEEPEST = 500  # Python's own readers give up at about 1,000
_OPENING, _LOWER = ord("{"), 32  # with this bit set "[" is "{", and no other letter becomes one
_QUOTE, _ESCAPE = ord('"'), ord("\\")
_QUOTES = b'"' * 16
_FLAT = (b"{}", b"[]", b"{}", b"[]")
_OTHERS = bytes(sorted(set(range(256)) - set(b'"[]{}')))
_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1


def depth(body: bytes) -> int:
    """Tell how many lists and objects lie within one another at most; brackets within texts are none.

    Only quotes and brackets are looked at: an even number of quotes before a bracket says that it is in no text.
    """
    return _exactly(np.frombuffer(_marks(body), np.uint8))


def _openings(body: bytes) -> int:
    """Count what opens a list or an object, in texts too: an answer with few of them needs no closer look."""
    return int(np.count_nonzero((np.frombuffer(body, np.uint8) | _LOWER) == _OPENING))


def _marks(body: bytes) -> bytes:
    """Leave but brackets, and the quotes that tell whether they lie within a text."""
    if b"\\" in body and _hides_quotes(np.frombuffer(body, np.uint8)):
        body = body.replace(rb"\\", b"").replace(rb"\"", b"")
    marks = body.translate(None, _OTHERS)
    for pairs in (_QUOTES, b'""'):  # an even number of them changes nothing; the long ones first, which is quicker
        marks = marks.replace(pairs, b"")
    return marks


def _at_most(marks: bytes) -> int:
    """Bound the depth: what holds nothing is taken out, which makes it less by one at most, and what is left counted."""
    for pair in _FLAT:
        marks = marks.replace(pair, b"")
    return len(marks) + len(_FLAT)


def _hides_quotes(letters: npt.NDArray[np.uint8]) -> bool:
    """Look for an escaped quote or an escaped escape; other escapes hide no quote."""
    escapes, after = letters[:-1] == _ESCAPE, letters[1:]
    return bool((escapes & ((after == _QUOTE) | (after == _ESCAPE))).any())


def _exactly(marks: npt.NDArray[np.uint8]) -> int:
    steps, is_quote = _STEPS[marks], marks == _QUOTE
    if is_quote.any():
        steps[np.cumsum(is_quote) % 2 == 1] = 0
    return int(np.cumsum(steps, dtype=np.int32).max(initial=0))


def refuse_deep(body: bytes) -> None:
    """Raise ReplyError for JSON that is nested beyond reason."""
    if len(body) <= DEEPEST or _openings(body) <= DEEPEST:
        return
    marks = _marks(body)
    if _at_most(marks) > DEEPEST and _exactly(np.frombuffer(marks, np.uint8)) > DEEPEST:
        raise ReplyError(f"an answer of {len(body)} bytes is nested deeper than {DEEPEST} levels")
