"""Who is who, measured where it is known: precision, recall and F1 of the pairs of accounts that join.

Runs each set by the rules alone and with Splink, each in a process of its own; states CPU seconds and peak memory.
Sets may be named; without names all but the largest. It is no test: it only prints.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from time import monotonic, process_time
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
USUAL = ("febrl", "restaurants", "sandbox_20k", "sandbox_200k", "two_systems_100k")
HEAD = f"{'set':<18}{'by':<9}{'accounts':>10}{'precision':>11}{'recall':>9}{'F1':>9}{'suggested':>11}{'right':>8}{'CPU s':>8}{'GiB':>7}"


def main() -> None:
    """Make each set, join it twice, and print."""
    with tempfile.TemporaryDirectory() as folder:
        print(HEAD, flush=True)
        for world in sys.argv[1:] or USUAL:
            path = str(Path(folder) / f"{world}.parquet")
            if _child("make", world, path) is None:
                continue
            for way in ("rules", "splink"):
                got = _child("join", way, path)
                if got is not None:
                    print(_line(world, way, got), flush=True)


def _child(*words: str) -> dict[str, Any] | None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, __file__, "--", *words], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        print(f"{words[1]}: {(done.stderr.strip().splitlines() or ['?'])[-1]}", flush=True)
        return None
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _line(world: str, way: str, got: dict[str, Any]) -> str:
    return (
        f"{world:<18}{way:<9}{got['accounts']:>10,}{got['precision']:>11.5f}{got['recall']:>9.4f}{got['f1']:>9.4f}"
        f"{got['suggested']:>11,}{got['right']:>8.3f}{got['cpu']:>8.1f}{got['gib']:>7.2f}"
    )


def make(world: str, path: str) -> None:
    """Write a set's accounts, with who they are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from benchmarks.truth.worlds import WORLDS

    columns = (
        "connection",
        "account_id",
        "entity",
        "name",
        "tax_id",
        "domain",
        "email",
        "phone",
        "street",
        "postal_code",
        "city",
        "country",
    )
    rows: dict[str, list[Any]] = {name: [] for name in columns}
    for row in WORLDS[world]():
        for name in columns:
            rows[name].append(row.get(name))
    pq.write_table(pa.table(rows, schema=pa.schema([(name, pa.string()) for name in columns])), path)
    print(json.dumps({"rows": len(rows["entity"])}))


def join(way: str, path: str) -> None:
    """Join a set and compare with the truth."""

    from engine.build.probabilistic_matching import matches
    from engine.config.customer_model import MatchingConfig
    from engine.storage.backend import backend
    from engine.storage.ledger import Ledger
    from transforms.identity.crosswalk import crosswalk, match_suggestions
    from transforms.identity.match_keys import match_keys

    begin, start = monotonic(), process_time()
    con = backend.connect(threads=2)
    given = backend.read(con, [path])
    accounts = backend.keep(con, _as_accounts(given))
    keys = backend.keep(con, match_keys(accounts))
    ledger = Ledger(f"sqlite:///{path}.{way}.db")
    probable = matches(con, keys, ledger.model_parameters, date(2026, 1, 1), MatchingConfig(enabled=way == "splink"))
    judged = backend.table(
        con, _nothing("left_connection", "left_account_id", "right_connection", "right_account_id", "verdict")
    )
    previous = backend.table(con, _nothing_known())
    found = backend.keep(
        con,
        crosswalk(
            accounts,
            judged,
            previous,
            as_of=date(2026, 1, 1),
            links={},
            max_cluster=50,
            keys=keys,
            likely=probable.joining,
        ),
    )
    suggested = backend.keep(con, match_suggestions(accounts, found, keys=keys, likely=probable.all))
    cpu = process_time() - start
    gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    told = _compared(con, given, found, suggested)
    print(json.dumps(told | {"cpu": cpu, "wall": monotonic() - begin, "gib": gib, "notes": probable.notes}))


def _as_accounts(given: Any) -> Any:
    from schemas.find import model

    columns = model("accounts").to_schema().columns
    import ibis

    return given.select(
        **{
            name: given[name] if name in given.columns else ibis.null(column.dtype.type)
            for name, column in columns.items()
        }
    )


def _nothing(*names: str) -> Any:
    import pyarrow as pa

    return pa.schema([(name, pa.string()) for name in names]).empty_table()


def _nothing_known() -> Any:
    import ibis

    from schemas.find import model

    columns = model("crosswalk").to_schema().columns
    return ibis.schema({name: column.dtype.type for name, column in columns.items()}).to_pyarrow().empty_table()


PAIRS = """SELECT coalesce(sum(n * (n - 1) / 2), 0)
    FROM (SELECT count(*) n FROM given JOIN found USING (connection, account_id) GROUP BY {})"""
SUGGESTED = """SELECT count(*), coalesce(avg((l.entity = r.entity)::int), 0) FROM suggested s
    JOIN given l ON l.connection = left_connection AND l.account_id = left_account_id
    JOIN given r ON r.connection = right_connection AND r.account_id = right_account_id"""


def _compared(con: Any, given: Any, found: Any, suggested: Any) -> dict[str, Any]:
    """Count pairs: within customers, within entities, within both; and how many suggestions are right."""
    for name, table in (("given", given), ("found", found), ("suggested", suggested)):
        con.create_view(name, table, overwrite=True)

    def first(sql: str) -> Any:
        return con.con.execute(sql).fetchall()[0]

    joined, true, both = (float(first(PAIRS.format(by))[0]) for by in ("customer_id", "entity", "customer_id, entity"))
    told, right = first(SUGGESTED)
    return {
        "accounts": int(first("SELECT count(*) FROM given")[0]),
        "precision": both / max(joined, 1),
        "recall": both / max(true, 1),
        "f1": 2 * both / max(joined + true, 1),
        "suggested": told,
        "right": right,
        "rules": dict(con.con.execute("SELECT rule, count(*) FROM found GROUP BY 1").fetchall()),
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--"]:
        {"make": make, "join": join}[sys.argv[2]](*sys.argv[3:])
    else:
        main()
