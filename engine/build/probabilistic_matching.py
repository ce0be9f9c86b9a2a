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

from engine.build.model_parameters import ParameterStore
from engine.config.customer_model import MatchingConfig
from engine.storage.backend import backend
from engine.storage.duckdb_session import quoted
from transforms.identity.crosswalk import LIKELY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from splink import Linker

MODEL, NO_MODEL = "splink-1", "none"  # another number when other columns are compared
FEWEST_ACCOUNTS = 500
FEWEST_PAIRS = 100
MOST_PER_BLOCK = 50
LEARNT_FROM = 200_000  # accounts
PAIRS = 2_000_000  # compared at random to learn how often values agree by chance
DIGITS = 6
FEWEST_BLOCKS = 2
LEAST_FILLED = 0.02
FLOOR = 0.005
RIVAL = 0.05  # from this probability on a pair is a rival to others
LEAST_ALONE = 0.1
# Pairs that agree in these are mostly one company: from them is learnt what the other columns say.
TAUGHT_BY = (("tax",), ("phone",), ("site",), ("name", "postal_code"), ("name", "city"))
EXACT = (("tax",), ("phone", "name"), ("name", "postal_code"), ("name", "site"))
BLOCKS = ("by_tax", "by_site", "by_phone", "by_name", "by_place", "by_street", "by_town", "by_code")
AGREE = "{0}_l = {0}_r"
NEAR = "jaro_winkler_similarity(street_l, street_r) >= 0.92"
UNPLACED = """(postal_code_l IS NULL OR postal_code_r IS NULL) AND (city_l IS NULL OR city_r IS NULL)"""
MADE_BY_SPLINK = """SELECT table_name, table_type FROM information_schema.tables
    WHERE starts_with(table_name, '__splink') OR starts_with(table_name, 'splink_')"""
TEXTS = ("tax", "phone", "name", "postal_code", "city", "street", "site")


@dataclass(frozen=True)
class Matches:
    """The pairs of accounts (left, right, score) that join, those that may, and notes on how they were found.

    Without a trained model `all` is None: then only the match rules suggest pairs.
    """

    joining: ir.Table
    suggested: ir.Table
    notes: dict[str, Any]
    is_learnt: bool = True

    @property
    def all(self) -> ir.Table | None:
        """All pairs, or None without a trained model."""
        return ibis.union(self.joining, self.suggested) if self.is_learnt else None


def matches(con: backend.Backend, keys: ir.Table, fits: ParameterStore, as_of: date, config: MatchingConfig) -> Matches:
    """Find accounts that are probably one customer; none without Splink or with too few accounts to train on."""
    if not config.enabled or find_spec("splink") is None:
        return _none(con, "off" if not config.enabled else "Splink is not installed (extra: matching)")
    local_con, accounts = backend.local(con, comparable(keys))  # Splink on Spark would need jars of its own
    model = _model(local_con, accounts, fits, as_of, config.refit_days)
    if not model:
        return _none(con, "too few accounts to learn from")
    pairs = backend.keep(local_con, predicted(local_con, accounts, model, min(config.suggest, RIVAL)))
    joining = backend.keep(local_con, mutual(pairs, accounts, config.auto_link))
    suggested = pairs.filter(pairs.score >= config.suggest).anti_join(joining, ["left", "right"])
    notes = {"probable": backend.row_count(suggested), "joining": backend.row_count(joining)}
    return Matches(backend.back(con, joining), backend.back(con, suggested), notes)


def comparable(keys: ir.Table) -> ir.Table:
    """Write the keys as Splink wants them: null where there is nothing, and the blocks within which pairs are compared.

    A block that more than `MOST_PER_BLOCK` accounts share says nothing and costs their square: it is none.
    """
    texts = {name: keys[name].nullif("") for name in TEXTS}
    accounts = _capped(keys.select("node", "connection", country=keys.country, **texts), ("tax", "phone", "site"))
    nation = ibis.coalesce(accounts.country, "")
    blocks = {
        "by_tax": accounts.tax,
        "by_phone": accounts.phone,
        "by_site": accounts.site,
        "by_name": accounts.name.concat("|", nation),
        "by_place": accounts.postal_code.concat("|", accounts.name.left(3)),
        "by_street": accounts.postal_code.concat("|", accounts.street),
        "by_town": accounts.city.concat("|", accounts.name.left(7)),
        "by_code": accounts.postal_code.concat("|", nation),
    }
    return _capped(accounts.mutate(**blocks), tuple(blocks))


def _capped(accounts: ir.Table, columns: Sequence[str]) -> ir.Table:
    """Empty values that more than `MOST_PER_BLOCK` accounts share."""
    small = {name: accounts.count().over(group_by=name) <= MOST_PER_BLOCK for name in columns}
    return accounts.mutate(**{name: fits.ifelse(accounts[name], ibis.null("string")) for name, fits in small.items()})


def fit(con: backend.Backend, accounts: ir.Table) -> dict[str, Any]:
    """Learn from the accounts how much agreement and disagreement say; empty where there are too few.

    Columns that hardly any account fills are left out. What a column says is learnt from pairs that agree in others.
    """
    from splink import block_on

    accounts_count = backend.row_count(accounts)
    filled = _filled(accounts, accounts_count)
    blocks = [columns for columns in TAUGHT_BY if _pairs_within(accounts, columns) >= FEWEST_PAIRS]
    if accounts_count < FEWEST_ACCOUNTS or len(blocks) < FEWEST_BLOCKS:
        return {}
    with _linker(con, accounts, _settings(filled)) as linker:
        learn = linker.training
        exact: list[Any] = [block_on(*columns) for columns in EXACT if {*columns} <= filled]
        learn.estimate_probability_two_random_records_match(exact, recall=0.9)
        learn.estimate_u_using_random_sampling(max_pairs=PAIRS, seed=1)
        share = min(1.0, LEARNT_FROM / accounts_count)
        for block in blocks:
            learn.estimate_parameters_using_expectation_maximisation(
                block_on(*block), record_sample_proportion=share, fix_probability_two_random_records_match=True
            )
        model: dict[str, Any] = _rounded(linker.misc.save_model_to_json())
    for comparison in model["comparisons"]:
        _temper(comparison["comparison_levels"])
    return model


def predicted(con: backend.Backend, accounts: ir.Table, model: Mapping[str, Any], least: float) -> ir.Table:
    """Return the pairs of accounts (left, right, score) that match with at least this probability."""
    with _linker(con, accounts, dict(model)) as linker:
        prediction = linker.inference.predict(threshold_match_probability=least)
        table = con.table(prediction.physical_name)
        node = (ibis.least(table.node_l, table.node_r), ibis.greatest(table.node_l, table.node_r))
        return backend.keep(con, table.select(left=node[0], right=node[1], score=table.match_probability.round(DIGITS)))


def mutual(pairs: ir.Table, accounts: ir.Table, auto_link: float) -> ir.Table:
    """Keep the pairs (left, right, score) that join: each is the other's only best in its system, at `auto_link` or more.

    Of two that are as likely neither joins. A pair without any rival is likelier than its values alone say, for had
    each of the two its true partner elsewhere, that would mostly be found: the odds grow by the share of its system's
    accounts that have found theirs, and the `score` is what comes of it.
    """
    sides = _sides(pairs, accounts)
    per_side = {"group_by": ["one", "there"]}
    best = sides.mutate(_best=sides.score.max().over(**per_side), _rivals=sides.count().over(**per_side))
    ranked = best.mutate(_equals=(best.score == best._best).cast("int64").sum().over(**per_side))
    won = ranked.filter((ranked.score == ranked._best) & (ranked._equals == 1))
    shares = _partnered(sides, accounts, auto_link)
    grown = won.left_join(shares, ["here", "there"])
    is_lone = (grown._rivals == 1) & (grown.here != grown.there)
    lifted = grown.select("left", "right", "score", is_lone=is_lone, lift=ibis.coalesce(grown.lift, 1.0).log())
    both = lifted.group_by("left", "right", "score").agg(
        sides=lifted.count(), is_lone=lifted.is_lone.all(), lift=lifted.lift.sum()
    )
    odds = both.score / ibis.greatest(1 - both.score, 10.0**-DIGITS) * both.is_lone.ifelse(both.lift, 0.0).exp()
    sure = both.filter(both.sides == 2).mutate(score=ibis.greatest(both.score, (odds / (odds + 1)).round(DIGITS)))
    return sure.filter(sure.score >= auto_link).select("left", "right", "score")


def _sides(pairs: ir.Table, accounts: ir.Table) -> ir.Table:
    """See each pair from both sides (left, right, score, one, here, there): an account, its system, the other's."""
    system = accounts.select("node", "connection")
    ends = pairs.join(system.rename(left_node="node", left_in="connection"), [("left", "left_node")])
    ends = ends.join(system.rename(right_node="node", right_in="connection"), [("right", "right_node")])
    each = ends.select("left", "right", "score", "left_in", "right_in")
    from_left = each.select("left", "right", "score", one="left", here="left_in", there="right_in")
    return from_left.union(each.select("left", "right", "score", one="right", here="right_in", there="left_in"))


def _partnered(sides: ir.Table, accounts: ir.Table, auto_link: float) -> ir.Table:
    """Find by how much the odds grow for lack of a rival (here, there, lift), from the share that has a partner."""
    sure = sides.filter(sides.score >= auto_link)
    counted = sure.group_by("here", "there").agg(n=sure.one.nunique())
    sizes = accounts.group_by(here="connection").agg(size=accounts.count())
    shares = counted.join(sizes, "here")
    return shares.select("here", "there", lift=1 / ibis.greatest(1 - shares.n / shares["size"], LEAST_ALONE))


def _model(
    con: backend.Backend, accounts: ir.Table, fits: ParameterStore, as_of: date, refit_days: int
) -> dict[str, Any]:
    stored = fits.newest("matching", as_of)
    if stored and stored.version in (MODEL, NO_MODEL) and (as_of - stored.as_of).days < max(refit_days, 1):
        return stored.values
    model = fit(con, accounts)
    fits.save("matching", MODEL if model else NO_MODEL, as_of, model)
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

    # One comparison, not three: who moves changes street, code and town at once.
    address = comparisons.CustomComparison(
        [
            levels.CustomLevel(UNPLACED, "not known").configure(is_null_level=True),
            levels.CustomLevel(f"{AGREE.format('postal_code')} AND {NEAR}", "the same address"),
            levels.CustomLevel(AGREE.format("postal_code"), "the same postal code"),
            levels.CustomLevel(f"{AGREE.format('city')} AND {NEAR}", "the same street and town"),
            levels.CustomLevel(AGREE.format("city"), "the same town"),
            levels.ElseLevel(),
        ],
        output_column_name="place",
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
        "place": address,
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
def _linker(con: backend.Backend, accounts: ir.Table, settings: Any) -> "Iterator[Linker]":
    """Open Splink on the engine, and drop its tables at the end."""
    from splink import DuckDBAPI, Linker

    api, name = DuckDBAPI(con.con), f"splink_{uuid4().hex[:12]}"
    try:
        con.create_view(name, accounts)
        yield Linker(api.register(name), settings, log_level=logging.ERROR)
    finally:
        for name_by_splink, kind in con.con.execute(MADE_BY_SPLINK).fetchall():
            con.raw_sql(f"DROP {'VIEW' if kind == 'VIEW' else 'TABLE'} {quoted(name_by_splink)}")


def _temper(levels: list[dict[str, Any]]) -> None:
    """Let no difference be proof, however clean what was learnt from; what could not be learnt says nothing."""
    for level in levels:
        if level.get("is_null_level"):
            continue
        if level.get("m_probability") is None or level.get("u_probability") is None:
            level |= {"m_probability": FLOOR, "u_probability": FLOOR}
        level["m_probability"] = max(level["m_probability"], FLOOR)


def _rounded(value: Any) -> Any:
    """Round what was learnt, so that the order of accounts makes no difference."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, Mapping):
        return {key: _rounded(inner) for key, inner in value.items() if key != "linker_uid"}
    return [_rounded(inner) for inner in value] if isinstance(value, Sequence) and not isinstance(value, str) else value


def _filled(accounts: ir.Table, accounts_count: int) -> set[str]:
    """Name the columns that enough accounts fill; the system says something only where there is more than one."""
    columns = (*TEXTS, "country")
    counts = accounts.agg(**{name: accounts[name].count() for name in columns}, systems=accounts.connection.nunique())
    (row,) = counts.to_pyarrow().to_pylist()
    filled = {name for name in columns if row[name] > LEAST_FILLED * accounts_count}
    derived = {"place": bool({"postal_code", "city"} & filled), "connection": row["systems"] > 1}
    return filled | {name for name, is_filled in derived.items() if is_filled}


def _pairs_within(accounts: ir.Table, columns: Sequence[str]) -> int:
    filled = accounts.filter([accounts[column].notnull() for column in columns])
    sizes = filled.group_by(list(columns)).agg(n=ibis._.count())
    return int(sizes.agg(pairs=(sizes.n * (sizes.n - 1) / 2).sum()).to_pyarrow()["pairs"][0].as_py() or 0)


def _none(con: backend.Backend, reason: str) -> Matches:
    nothing = backend.table(con, LIKELY.empty_table())
    return Matches(nothing, nothing, {"probabilistic": reason}, is_learnt=False)
