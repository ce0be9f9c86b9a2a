"""How deep a JSON text is nested."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.kit.depth import depth, refuse_deep
from connectors.kit.errors import ReplyError

LEAVES = st.none() | st.booleans() | st.integers() | st.text(alphabet='"\\[]{}:,ab\n', max_size=40)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet='"\\[]{}a'), inner))


def counted(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(counted, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(counted, value), default=0)
    return 0


@settings(max_examples=60, deadline=None)
@given(VALUES, st.booleans())
def test_tells_the_depth_whatever_the_texts_hold(value, is_ascii):
    assert depth(json.dumps(value, ensure_ascii=is_ascii).encode()) == counted(value)


@settings(max_examples=60, deadline=None)
@given(VALUES, st.integers(0, 8))
def test_what_is_refused_is_what_is_deeper(value, deepest):
    body = json.dumps(value).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("connectors.kit.depth.DEEPEST", deepest)
        if counted(value) > deepest:
            with pytest.raises(ReplyError):
                refuse_deep(body)
        else:
            refuse_deep(body)


@pytest.mark.parametrize("body", [b"[" * 501, b"[" * 100_000, b'{"a":' * 501, b'["]",' * 501, b'{"]}\\"]":[' * 251])
def test_what_is_nested_beyond_reason_is_refused(body):
    with pytest.raises(ReplyError, match=f"an answer of {len(body)} bytes is nested deeper than 500 levels"):
        refuse_deep(body)


@pytest.mark.parametrize(
    "body",
    [b"", b"5", b"[" * 500 + b"]" * 500, b"[" + b"[]," * 5000 + b"[]]", json.dumps(["[{" * 500, '"[' * 500]).encode()],
)
def test_what_is_flat_passes_however_many_brackets_it_has(body):
    refuse_deep(body)
