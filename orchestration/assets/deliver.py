"""A delivery's two assets: the plan (what would change) and what was delivered (what came of it)."""

from collections.abc import Iterator

import dagster as dg

from connectors.kit.errors import ConnectorError
from orchestration.apply import apply, read_back
from orchestration.assets.failures import failure
from orchestration.plan import plan
from orchestration.project import Project
from orchestration.storage.lease import LeaseHeld

GROUP = "deliver"
SHOWN = 20


class Approval(dg.Config):
    """Name the plan to apply, where it is not the newest, and the guards it may pass once."""

    digest: str | None = None
    allow: list[str] = []


def plan_key(name: str) -> dg.AssetKey:
    """Name a delivery's plan."""
    return dg.AssetKey(["plan", name])


def delivered_key(name: str) -> dg.AssetKey:
    """Name a delivery's outcomes."""
    return dg.AssetKey(["delivered", name])


def delivered_op(name: str) -> str:
    """Name the step that applies a plan."""
    return f"delivered__{name}"


def delivery_assets(name: str) -> dg.Definitions:
    """Make the assets `plan/<name>` and `delivered/<name>` with their checks."""
    config = Project.load().delivery(name)
    target = f"{config.target.connection} {config.target.stream}"

    @dg.asset(
        key=plan_key(name),
        group_name=GROUP,
        deps=[config.table, "crosswalk"],
        kinds={"plan"},
        pool=f"delivery_{name}",
        check_specs=[dg.AssetCheckSpec("guards", asset=plan_key(name), blocking=True)],
        description=f"What {target} should hold, minus what it holds: listed field by field, nothing written.",
    )
    def planned(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        try:
            made = plan(Project.load(), name, context.run_id)
        except (ConnectorError, LeaseHeld) as error:
            raise failure(error) from None
        return dg.MaterializeResult(
            metadata={
                "summary": made.summary(),
                "digest": made.digest,
                "dagster/row_count": made.fields,
                "records": made.changes,
                "conflicts": made.conflicts,
                "review": made.review,
                "changes": _table(made.rows()[:SHOWN]),
            },
            check_results=[
                dg.AssetCheckResult(
                    passed=not made.violations,
                    check_name="guards",
                    description="; ".join(made.violations) or None,
                )
            ],
        )

    @dg.asset(
        key=delivered_key(name),
        group_name=GROUP,
        deps=[plan_key(name)],
        kinds={config.target.connection},
        pool=f"delivery_{name}",
        output_required=False,
        check_specs=[
            dg.AssetCheckSpec("all_applied", asset=delivered_key(name)),
            dg.AssetCheckSpec("read_back", asset=delivered_key(name)),
        ],
        description=f"Every write to {target} with its outcome: the audit log of this delivery.",
    )
    def delivered(context: dg.AssetExecutionContext, config: Approval) -> Iterator[dg.MaterializeResult]:
        project = Project.load()
        if project.delivery(name).approve == "manual" and not config.digest:
            context.log.info(f"{name} waits for approval: belvedere apply {name}")
            return
        try:
            made = apply(project, name, context.run_id, digest=config.digest, allow=config.allow)
            differences = read_back(project, name, context.run_id)
        except (ConnectorError, LeaseHeld) as error:
            raise failure(error) from None
        counts = {outcome: count for outcome, count in made.counts.items() if count}
        bad = {outcome: count for outcome, count in counts.items() if outcome not in ("applied", "unchanged")}
        yield dg.MaterializeResult(
            metadata={
                "summary": made.summary(),
                "digest": made.digest,
                "dagster/row_count": sum(counts.values()),
                **{f"records_{outcome}": count for outcome, count in counts.items()},
                "outcomes": _table(made.rows()[:SHOWN]),
            },
            check_results=[
                dg.AssetCheckResult(
                    passed=not bad,
                    check_name="all_applied",
                    severity=dg.AssetCheckSeverity.WARN,
                    description=", ".join(f"{count} {outcome}" for outcome, count in bad.items()) or None,
                ),
                dg.AssetCheckResult(
                    passed=not differences,
                    check_name="read_back",
                    description="; ".join(differences[:5]) or None,
                ),
            ],
        )

    return dg.Definitions(assets=[planned, delivered])


def _table(rows: list[dict[str, object]]) -> dg.MetadataValue:
    columns = ("record_id", "field", "before", "after", "action", "outcome", "reason", "message")
    shown = [name for name in columns if rows and name in rows[0]]
    records = [
        dg.TableRecord({name: str(row[name] if row[name] is not None else "") for name in shown}) for row in rows
    ]
    schema = dg.TableSchema([dg.TableColumn(name) for name in shown] or [dg.TableColumn("nothing")])
    return dg.MetadataValue.table(records, schema=schema)
