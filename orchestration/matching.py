"""Probable matches: Splink, unsupervised, on the engine of the build; parameters are learnt now and then and frozen.

A pair's probability depends on the two accounts and on how common their values are, never on the run: what is learnt
is rounded and kept in the ledger, so that no probability moves by itself.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import ibis
import ibis.expr.types as ir

from orchestration.config import MatchingConfig
from orchestration.storage import engine
from orchestration.storage.duck import quoted
from orchestration.storage.models import Models
from transforms.identity import LIKELY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from splink import Linker

FEWEST_ACCOUNTS = 500
FEWEST_PAIRS = 100
MOST_PER_BLOCK = 50
LEARNT_FROM = 200_000  # accounts
PAIRS = 2_000_000  # compared at random to learn how often values agree by chance
DIGITS = 6
FEWEST_BLOCKS = 2
LEAST_FILLED = 0.02
FLOOR = 0.005
CERTAIN = ("by_tax", "by_phone", "by_site", "by_name", "by_street")
EXACT = (("tax",), ("phone", "country"), ("name", "postal_code"), ("name", "site"))
BLOCKS = ("by_tax", "by_site", "by_phone", "by_name", "by_place", "by_street", "by_town", "by_code")
MADE_BY_SPLINK = """SELECT table_name, table_type FROM information_schema.tables
    WHERE starts_with(table_name, '__splink') OR starts_with(table_name, 'splink_')"""
TEXTS = ("tax", "phone", "name", "postal_code", "city", "street", "site")


@dataclass(frozen=True)
class Matches:
    """Hold the pairs of accounts (left, right, score) that join, those that may, and how they were found."""

    joining: ir.Table
    suggested: ir.Table
    notes: dict[str, Any]


def matches(con: engine.Backend, keys: ir.Table, ledger: Models, as_of: date, config: MatchingConfig) -> Matches:
    """Find the accounts that are probably one customer; without Splink, or with too few accounts to learn from, none."""
    if not config.enabled or find_spec("splink") is None:
        return _none(con, "off" if not config.enabled else "Splink is not installed (extra: matching)")
    given = engine.keep(con, comparable(keys))
    model = _model(con, given, ledger, as_of, config.refit_days)
    if not model:
        return _none(con, "too few accounts to learn from")
    found = engine.keep(con, predicted(con, given, model, config.suggest))
    joining = engine.keep(con, mutual(found.filter(found.score >= config.auto_link), given))
    notes = {"probable": _count(found), "joining": _count(joining)}
    return Matches(joining.select(*LIKELY.names), found.anti_join(joining, ["left", "right"]), notes)


def comparable(keys: ir.Table) -> ir.Table:
    """Write the keys as Splink wants them: null where there is nothing, and the blocks within which pairs are compared.

    A block that more than `MOST_PER_BLOCK` accounts share says nothing and costs their square: it is none.
    """
    known = {name: keys[name].nullif("") for name in TEXTS}
    held = keys.select("node", "connection", country=keys.country, **known)
    nation = ibis.coalesce(held.country, "")
    blocks = {
        "by_tax": held.tax,
        "by_phone": held.phone,
        "by_site": held.site,
        "by_name": held.name.concat("|", nation),
        "by_place": held.postal_code.concat("|", held.name.left(3)),
        "by_street": held.postal_code.concat("|", held.street),
        "by_town": held.city.concat("|", held.name.left(7)),
        "by_code": held.postal_code.concat("|", nation),
    }
    blocked = held.mutate(**blocks)
    sizes = {name: (blocked.count().over(group_by=name) <= MOST_PER_BLOCK) for name in blocks}
    capped = {name: is_small.ifelse(blocked[name], ibis.null("string")) for name, is_small in sizes.items()}
    return blocked.mutate(**capped)


def fit(con: engine.Backend, given: ir.Table) -> dict[str, Any]:
    """Learn from the accounts how much agreement and disagreement say; empty where there are too few.

    Columns that hardly any account fills are left out. What a column says is learnt from pairs that agree in others.
    """
    from splink import block_on

    accounts = _count(given)
    filled = _filled(given, accounts)
    blocks = [name for name in CERTAIN if _pairs_within(given, name) >= FEWEST_PAIRS]
    if accounts < FEWEST_ACCOUNTS or len(blocks) < FEWEST_BLOCKS:
        return {}
    with _linker(con, given, _settings(filled)) as linker:
        learn = linker.training
        exact = [block_on(*columns) for columns in EXACT if {*columns} <= filled]
        learn.estimate_probability_two_random_records_match(exact, recall=0.9)
        learn.estimate_u_using_random_sampling(max_pairs=PAIRS, seed=1)
        share = min(1.0, LEARNT_FROM / accounts)
        for block in blocks:
            learn.estimate_parameters_using_expectation_maximisation(
                block_on(block), record_sample_proportion=share, fix_probability_two_random_records_match=True
            )
        model: dict[str, Any] = _rounded(linker.misc.save_model_to_json())
    for comparison in model["comparisons"]:
        _temper(comparison["comparison_levels"])
    return model


def predicted(con: engine.Backend, given: ir.Table, model: Mapping[str, Any], least: float) -> ir.Table:
    """Give the pairs of accounts (left, right, score) that are one customer with at least this probability."""
    with _linker(con, given, dict(model)) as linker:
        found = linker.inference.predict(threshold_match_probability=least)
        table = con.table(found.physical_name)
        node = (ibis.least(table.node_l, table.node_r), ibis.greatest(table.node_l, table.node_r))
        return engine.keep(con, table.select(left=node[0], right=node[1], score=table.match_probability.round(DIGITS)))


def mutual(found: ir.Table, given: ir.Table) -> ir.Table:
    """Keep the pairs of which each is the other's only best in its system: of two that are as likely, neither joins."""
    system = given.select("node", "connection")
    ends = found.join(system.rename(left_node="node", left_in="connection"), [("left", "left_node")])
    ends = ends.join(system.rename(right_node="node", right_in="connection"), [("right", "right_node")])
    each = ends.select("left", "right", "score", "left_in", "right_in")
    sides = each.select("left", "right", "score", one="left", there="right_in").union(
        each.select("left", "right", "score", one="right", there="left_in")
    )
    best = sides.mutate(
        _best=sides.score.max().over(group_by=["one", "there"]), _all=sides.count().over(group_by=["one", "there"])
    )
    tied = best.mutate(_tied=(best.score == best._best).cast("int64").sum().over(group_by=["one", "there"]))
    won = tied.filter((tied.score == tied._best) & (tied._tied == 1))
    both = won.group_by("left", "right", "score").agg(sides=won.count())
    return both.filter(both.sides == 2).select("left", "right", "score")


def _model(con: engine.Backend, given: ir.Table, ledger: Models, as_of: date, refit_days: int) -> dict[str, Any]:
    held = ledger.parameters("matching", as_of)
    if held and (as_of - held.as_of).days < max(refit_days, 1):
        return held.values
    model = fit(con, given)
    ledger.save_parameters("matching", "splink-1" if model else "none", as_of, model)
    return model


def _settings(filled: set[str]) -> Any:
    import splink.comparison_level_library as levels
    import splink.comparison_library as comparisons
    from splink import SettingsCreator, block_on

    def close(column: str, *thresholds: float) -> Any:
        return comparisons.JaroWinklerAtThresholds(column, list(thresholds))

    def same(column: str) -> Any:
        return comparisons.ExactMatch(column)

    def slip(column: str) -> Any:
        return comparisons.DamerauLevenshteinAtThresholds(column, [1])

    code = comparisons.CustomComparison(
        [
            levels.NullLevel("postal_code"),
            levels.ExactMatchLevel("postal_code", term_frequency_adjustments=True),
            levels.CustomLevel("left(postal_code_l, 3) = left(postal_code_r, 3)", "the same area"),
            levels.ElseLevel(),
        ],
        output_column_name="postal_code",
    )
    system = comparisons.CustomComparison(
        [levels.CustomLevel("connection_l = connection_r", "the same system"), levels.ElseLevel()],
        output_column_name="connection",
    )
    offered = {
        "name": close("name", 0.95, 0.88).configure(term_frequency_adjustments=True),
        "tax": slip("tax"),
        "phone": slip("phone"),
        "site": same("site").configure(term_frequency_adjustments=True),
        "postal_code": code,
        "street": close("street", 0.92),
        "city": same("city").configure(term_frequency_adjustments=True),
        "country": same("country"),
        "connection": system,
    }
    return SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="node",
        comparisons=[comparison for column, comparison in offered.items() if column in filled],
        blocking_rules_to_generate_predictions=[block_on(name) for name in BLOCKS],
        retain_matching_columns=False,
        retain_intermediate_calculation_columns=False,
    )


@contextmanager
def _linker(con: engine.Backend, given: ir.Table, settings: Any) -> "Iterator[Linker]":
    """Open Splink upon the engine, and take its tables away again."""
    from splink import DuckDBAPI, Linker

    api, name = DuckDBAPI(con.con), f"splink_{uuid4().hex[:12]}"
    try:
        con.create_view(name, given)
        yield Linker(api.register(name), settings, log_level=logging.ERROR)
    finally:
        for made, kind in con.con.execute(MADE_BY_SPLINK).fetchall():
            con.raw_sql(f"DROP {'VIEW' if kind == 'VIEW' else 'TABLE'} {quoted(made)}")


def _temper(levels: list[dict[str, Any]]) -> None:
    """Let no difference be proof, however clean what was learnt from; what could not be learnt says nothing."""
    for level in levels:
        if level.get("is_null_level"):
            continue
        if level.get("m_probability") is None or level.get("u_probability") is None:
            level |= {"m_probability": FLOOR, "u_probability": FLOOR}
        level["m_probability"] = max(level["m_probability"], FLOOR)


def _rounded(value: Any) -> Any:
    """Round what was learnt, so that the same accounts in another order teach the same."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: _rounded(inner) for key, inner in value.items() if key != "linker_uid"}
    return [_rounded(inner) for inner in value] if isinstance(value, Sequence) and not isinstance(value, str) else value


def _filled(given: ir.Table, accounts: int) -> set[str]:
    """Name the columns that enough accounts fill; the system says something only where there is more than one."""
    columns = (*TEXTS, "country")
    counts = given.agg(**{name: given[name].count() for name in columns}, systems=given.connection.nunique())
    (row,) = counts.to_pyarrow().to_pylist()
    return {name for name in columns if row[name] > LEAST_FILLED * accounts} | (
        {"connection"} if row["systems"] > 1 else set()
    )


def _pairs_within(given: ir.Table, block: str) -> int:
    sizes = given.filter(given[block].notnull()).group_by(block).agg(n=ibis._.count())
    return int(sizes.agg(pairs=(sizes.n * (sizes.n - 1) / 2).sum()).to_pyarrow()["pairs"][0].as_py() or 0)


def _none(con: engine.Backend, why: str) -> Matches:
    nothing = engine.table(con, LIKELY.empty_table())
    return Matches(nothing, nothing, {"probabilistic": why})


def _count(table: ir.Table) -> int:
    return int(table.count().to_pyarrow().as_py())
