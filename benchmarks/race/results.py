"""Results as a table, and the goals that are set for them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from race.entrants import Entrant
from race.measured import Cost

LARGE, MOST_MIB = 1_000_000, 400
HEAD = ("client", "records/CPU s", "CPU s", "start-up", "wall s", "peak MiB", "x floor 2", "ours faster")
WIDTHS = (38, 13, 7, 8, 7, 8, 9, 11)
GOALS = (  # client, how many times as fast as it ours is to be
    ("dlt-rest", 10.0),
    ("airbyte", 10.0),
    ("singer", 10.0),
    ("airbyte-source", 10.0),
    ("singer-tap", 10.0),
    ("dlt-arrow", 2.5),
    ("parquet", 1 / 1.3),
    ("payload", 1 / 1.3),
)


@dataclass(frozen=True)
class Result:
    """Hold what one client cost, and what it costs to read but a page; or why that is not known."""

    entrant: Entrant
    cost: Cost | None = None
    begun: float | None = None
    records: int = 0
    problem: str = ""

    @property
    def speed(self) -> float:
        """Give records a CPU second, start-up included."""
        return self.records / self.cost.cpu if self.cost else 0.0

    @property
    def pace(self) -> float:
        """Give records a CPU second, start-up apart, where that is known."""
        return self.records / max(self.cost.cpu - (self.begun or 0.0), 0.01) if self.cost else 0.0


def table(results: Sequence[Result]) -> Iterator[str]:
    """Write a line a client."""
    floor, ours = (_speed(results, name) for name in ("parquet", "ours"))
    yield _line(HEAD)
    for one in results:
        if one.cost is None:
            yield f"{one.entrant.label:<{WIDTHS[0]}} not measured: {one.problem}"
            continue
        begun = "-" if one.begun is None else f"{one.begun:.2f}"
        numbers = (f"{one.cost.cpu:.2f}", begun, f"{one.cost.wall:.1f}", f"{one.cost.peak:.0f}")
        ratios = (_ratio(floor, one.speed), _ratio(ours, one.speed))
        yield _line((one.entrant.label, f"{one.speed:,.0f}", *numbers, *ratios))


def goals(results: Sequence[Result]) -> Iterator[str]:
    """Say of every goal how far it is met: by whole processes, and with all start-ups apart."""
    known = {one.entrant.name: one for one in results if one.cost}
    ours = known.get("ours")
    if ours is None or ours.cost is None:
        return
    for name, factor in GOALS:
        if other := known.get(name):
            yield _goal(ours, other, factor)
    if ours.records >= LARGE:
        peak = ours.cost.peak
        yield f"{ours.records:,} records in under {MOST_MIB} MiB: {peak:.0f}, {_met(peak < MOST_MIB)}"


def _goal(ours: Result, other: Result, factor: float) -> str:
    wanted = f"at least {factor:g} times" if factor > 1 else f"within {1 / factor:.2g} times of"
    whole, apart = (_judged(ratio, factor) for ratio in (ours.speed / other.speed, ours.pace / other.pace))
    then = "" if ours.begun is None else f"; start-up apart: {apart}"
    return f"{wanted} {other.entrant.label}: {whole}{then}"


def _judged(ratio: float, factor: float) -> str:
    return f"{ratio if factor > 1 else 1 / ratio:.2f}, {_met(ratio >= factor)}"


def _met(is_met: bool) -> str:
    return "met" if is_met else "NOT met"


def _speed(results: Sequence[Result], name: str) -> float:
    return next((one.speed for one in results if one.entrant.name == name), 0.0)


def _ratio(base: float, speed: float) -> str:
    return f"{base / speed:.2f}" if base else "-"


def _line(cells: Sequence[str]) -> str:
    first, *others = zip(cells, WIDTHS, strict=True)
    return " ".join([f"{first[0]:<{first[1]}}", *(f"{cell:>{width}}" for cell, width in others)])
