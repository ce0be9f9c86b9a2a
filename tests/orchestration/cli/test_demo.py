"""The demo fails where a night did not do what its heading says."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestration.cli import demo
from orchestration.cli import run as stages
from orchestration.cli.exits import Exit


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Exit]:
    """Run the demo with nights that write so many records each and end so."""

    def ran(*writes: int, ends: Exit = Exit.DONE) -> Exit:
        log: list[int] = []
        nights = iter(writes)

        @contextmanager
        def sandbox(*_: Any) -> Iterator[Any]:
            yield lambda what, body=None: list(log) if what == "writes" else []

        def night(_: str) -> Exit:
            log.extend(range(next(nights)))
            return ends

        monkeypatch.setenv("BELVEDERE_HOME", str(tmp_path))
        monkeypatch.setattr(demo, "_sandbox", sandbox)
        monkeypatch.setattr(demo, "_set_default_env", lambda _: None)
        monkeypatch.setattr(demo, "_print_first_night", lambda _: None)
        monkeypatch.setattr(stages, "night", night)
        return demo.demo_command(argparse.Namespace(customers=3))

    return ran


def test_a_third_night_that_writes_nothing_ends_well(run: Callable[..., Exit]):
    assert run(90, 9, 0) is Exit.DONE
    assert run(90, 9, 0, ends=Exit.PARTS_MISSING) is Exit.PARTS_MISSING


def test_a_third_night_that_writes_a_record_fails(run: Callable[..., Exit], capsys: pytest.CaptureFixture[str]):
    assert run(90, 9, 1, ends=Exit.PARTS_MISSING) is Exit.FAILED
    output = "this night did not do what its heading says: records written: 1, with no change since the second night"
    assert output in capsys.readouterr().err


def test_a_second_night_that_writes_everything_again_fails(run: Callable[..., Exit]):
    assert run(90, 90, 0) is Exit.FAILED
