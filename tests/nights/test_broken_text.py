"""Half an emoji, NaN and the like in one record: the record lands, and the night says what was replaced."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sandbox.server import Sandbox
from tests.engine.extract.toy import ExtractEnv
from tests.nights.seen import read, seen
from tests.nights.unhurried import small
from tests.nights.worlds import PRESSED, SYSTEMS, alive, fresh

NUMBERS = {"hubspot": "amount", "odoo": "amount_untaxed"}


def read_ones(small_sandbox: Sandbox, system: str, home: Path) -> list[Any]:
    """List the records that a reading shows."""
    known = fresh(home / "fresh", system, [PRESSED[system].stream])[PRESSED[system].stream]
    return [number for number in alive(small_sandbox, system, PRESSED[system].kind) if str(number) in known]


@pytest.mark.parametrize("system", SYSTEMS)
def test_one_broken_record_stops_no_stream_and_is_counted(small_sandbox: Sandbox, tmp_path, system: str):
    pressed, project = PRESSED[system], small(tmp_path)
    name = next(iter(pressed.edit))
    broken, hidden, *_ = read_ones(small_sandbox, system, tmp_path)
    small_sandbox.edit(system, pressed.kind, broken, {name: "a\ud83d b"})
    small_sandbox.edit(system, pressed.kind, hidden, {"x_unmapped\udc00": "\ude00\ud83d"})
    small_sandbox.clock.advance(3600)  # beyond the lag of each stream

    result = read(project, system, streams=[pressed.stream])[pressed.stream]

    assert (result.status, result.error) == ("done", None)
    texts = [text for text in seen(project, system, [pressed.stream])[pressed.stream][str(broken)].values() if text]
    assert "a\N{REPLACEMENT CHARACTER} b" in texts
    assert any("not valid Unicode" in note for note in result.notes)


def test_what_a_connector_hands_over_unread_is_repaired_as_it_lands(tmp_path, monkeypatch):
    house = ExtractEnv(tmp_path, monkeypatch)
    house.world.put(1, "a\ud83d b")
    house.world.put(2, "fine", **{"na\0me": "x", "s": "a\0b", "n": float("inf")})
    house.world.now += timedelta(hours=1)

    result = house.read()

    assert (result.status, result.error) == ("done", None)
    assert house.names() == {"1": "a\N{REPLACEMENT CHARACTER} b", "2": "fine"}
    assert result.notes == [
        "1 character that is not valid Unicode was replaced by \N{REPLACEMENT CHARACTER}",
        "1 number that is NaN or infinite was replaced by null",
    ]
    assert "na\0me" not in {one.path for one in house.project.ledger.source_fields.records("crm", "accounts")}


@pytest.mark.parametrize("system", NUMBERS)
def test_a_number_that_is_none_becomes_null_and_is_counted(small_sandbox: Sandbox, tmp_path, system: str):
    pressed, project = PRESSED[system], small(tmp_path)
    number = read_ones(small_sandbox, system, tmp_path)[0]
    small_sandbox.edit(system, pressed.kind, number, {NUMBERS[system]: float("nan")})
    small_sandbox.clock.advance(3600)
    result = read(project, system, streams=[pressed.stream])[pressed.stream]
    assert (result.status, result.error) == ("done", None)
    assert "1 number that is NaN or infinite was replaced by null" in result.notes
