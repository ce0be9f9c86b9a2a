"""A delivery's two assets: the plan (what would change) and what was delivered (what came of it)."""

import dagster as dg

from connectors.kit.errors import ConnectorError
from engine.config.delivery import DeliveryConfig
from engine.config.delivery_order import chain_lengths, creates_accounts, followers
from engine.config.project import Project
from engine.deliver.apply import ApplyResult, apply
from engine.deliver.approve import approval_of, approve
from engine.deliver.desired_sql import sources
from engine.deliver.plan import plan
from engine.deliver.plan_store import Plan, find
from engine.deliver.verify import ReadBack, read_back
from engine.publish.publish import refresh
from engine.storage.lease import LeaseTaken
from orchestration.assets.failures import failure
from orchestration.assets.keys import STAGE, delivered_key, plan_key, table_key
from pages.visible import visible

GROUP = "deliver"
PRIORITY = "dagster/priority"
SHOWN = 50
SHOWN_COLUMNS = (
    *("record_id", "key", "customer_id", "field", "before", "after", "action", "outcome", "policy", "owner"),
    *("reason", "message"),
)


class PlanToApply(dg.Config):
    """Name the plan to apply by its digest; the newest by default. `approved_by` approves it.

    Dagster's GraphQL takes mutations from any web page that a browser shows. So an approval names the
    digest, which no other page can know, and nothing here lifts a guard: `belvedere apply --allow` does.
    """

    digest: str | None = None
    approved_by: str | None = None


def delivered_op(name: str) -> str:
    """Name the step that applies a plan."""
    return f"delivered__{name}"


def delivery_assets(name: str) -> dg.Definitions:
    """Make the assets `plan/<name>` and `delivered/<name>` with their checks, and a job to approve a plan.

    A delivery that creates accounts runs before those that owe something to them, by priority: unlike a dependency, that
    lets the others run where it fails, is stopped by a guard, or waits for approval.
    """
    project = Project.load()
    config, tags = project.delivery(name), {PRIORITY: str(chain_lengths(project.deliveries, project.roles())[name])}
    assets = dg.Definitions(assets=[_planned(project, name, config, tags), _delivered(name, config, tags)])
    return dg.Definitions.merge(assets, _approval(project, name)) if config.approve == "manual" else assets


def after_creates(project: Project, name: str) -> list[dg.AssetKey]:
    """Name the assets that are run again once a delivery's creates were approved: what others owe to the new records."""
    others = followers(project.deliveries, project.roles(), name) if creates_accounts(project.delivery(name)) else []
    return [key for other in others for key in (plan_key(other), delivered_key(other))]


def _planned(project: Project, name: str, config: DeliveryConfig, tags: dict[str, str]) -> dg.AssetsDefinition:
    target = f"{config.target.connection} {config.target.stream}"

    @dg.asset(
        key=plan_key(name),
        group_name=GROUP,
        tags={STAGE: "deliver"},
        deps=[*map(table_key, sorted(sources(config, project.tables))), *map(delivered_key, config.after)],
        kinds={"plan"},
        op_tags=tags,
        pool=f"delivery_{name}",
        check_specs=[
            dg.AssetCheckSpec("guards", asset=plan_key(name), blocking=True),
            dg.AssetCheckSpec("conflicts", asset=plan_key(name)),
        ],
        description=f"What {target} should hold, minus what it holds: listed field by field, nothing written.",
    )
    def planned(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        try:
            result = plan(Project.load(), name, context.run.run_id)
        except (ConnectorError, LeaseTaken) as error:
            raise failure(error) from None
        return _plan_result(result)

    return planned


def _plan_result(result: Plan) -> dg.MaterializeResult:
    conflicts = len(result.rows("ask"))
    return dg.MaterializeResult(
        metadata={
            "summary": result.summary(),
            "digest": result.digest,
            "dagster/row_count": result.fields,
            "records": result.changes,
            "creates": result.creates,
            "conflicts": result.conflicts,
            "review": result.review,
            "changes": _table(result.rows()[:SHOWN]),
        },
        check_results=[
            dg.AssetCheckResult(
                passed=not result.violations, check_name="guards", description="; ".join(result.violations) or None
            ),
            dg.AssetCheckResult(
                passed=not conflicts,
                check_name="conflicts",
                severity=dg.AssetCheckSeverity.WARN,
                description=f"{conflicts} fields wait for a decision: belvedere conflicts list" if conflicts else None,
            ),
        ],
    )


def _delivered(name: str, config: DeliveryConfig, tags: dict[str, str]) -> dg.AssetsDefinition:
    target = f"{config.target.connection} {config.target.stream}"

    @dg.asset(
        key=delivered_key(name),
        group_name=GROUP,
        tags={STAGE: "deliver"},
        deps=[plan_key(name)],
        kinds={config.target.connection},
        op_tags=tags,
        pool=f"delivery_{name}",
        check_specs=[
            dg.AssetCheckSpec("all_applied", asset=delivered_key(name)),
            dg.AssetCheckSpec("read_back", asset=delivered_key(name)),
        ],
        description=f"Every write to {target} with its outcome: the audit log of this delivery.",
    )
    def delivered(context: dg.AssetExecutionContext, config: PlanToApply) -> dg.MaterializeResult:
        project, run_id = Project.load(), context.run.run_id
        try:
            if config.approved_by is not None:
                approve(project, name, config.digest or "", by=config.approved_by, via=f"Dagster run {run_id}")
            elif waiting := _waiting(name, project, config):
                return waiting
            result = apply(project, name, run_id, digest=config.digest)
            again = read_back(project, name)
        except (ConnectorError, LeaseTaken) as error:
            raise failure(error) from None
        finally:
            _audited(context, project)
        return _delivered_result(result, again, result.summary())

    return delivered


def _waiting(name: str, project: Project, config: PlanToApply) -> dg.MaterializeResult | None:
    """Say that nothing was written, and how it will be, where the newest plan was not approved yet.

    What comes after in the run goes on.
    """
    if config.digest or project.delivery(name).approve != "manual":
        return None
    newest = find(project, name)
    if approval_of(project, newest):
        return None
    nothing = ApplyResult(name, newest.digest)
    asks = f"{newest.changes} records wait for approval: belvedere apply {newest.digest[:12]}"
    is_open = newest.head.status == "planned" and newest.changes
    summary = f"{asks}, or the job {approval_job(name)} with this digest" if is_open else nothing.summary()
    return _delivered_result(nothing, ReadBack(0), summary)


def _delivered_result(result: ApplyResult, again: ReadBack, summary: str) -> dg.MaterializeResult:
    counts = {outcome: count for outcome, count in result.counts.items() if count}
    bad = {outcome: count for outcome, count in counts.items() if outcome not in ("applied", "unchanged")}
    problems = [", ".join(f"{count} {outcome}" for outcome, count in bad.items()), result.error or ""]
    return dg.MaterializeResult(
        metadata={
            "summary": summary,
            "digest": result.digest,
            "dagster/row_count": sum(counts.values()),
            "records_read_back": again.records,
            **{f"records_{outcome}": count for outcome, count in counts.items()},
            "outcomes": _table(result.rows()[:SHOWN]),
        },
        check_results=[
            dg.AssetCheckResult(
                passed=not bad and not result.error,
                check_name="all_applied",
                severity=dg.AssetCheckSeverity.WARN,
                description="; ".join(filter(None, problems)) or None,
            ),
            dg.AssetCheckResult(
                passed=not again.differences,
                check_name="read_back",
                description="; ".join(again.differences[:5]) or None,
            ),
        ],
    )


def approval_job(name: str) -> str:
    """Name the job that approves a plan of a delivery by its digest, and applies it."""
    return f"approve__{name}"


def _approval(project: Project, name: str) -> dg.Definitions:
    """Offer the approval of a plan as a job; its run config must say which plan, and who approves it."""
    job = dg.define_asset_job(
        approval_job(name),
        selection=[delivered_key(name), *after_creates(project, name)],
        config=dg.ConfigMapping(
            config_schema={"digest": str, "approved_by": str},
            config_fn=lambda approval: {"ops": {delivered_op(name): {"config": approval}}},
        ),
        executor_def=dg.in_process_executor,
        description=(
            f"Approve the plan of {name} that has this digest, and apply it; "
            "then run the deliveries that depend on the accounts it creates."
        ),
    )
    return dg.Definitions(jobs=[job])


def _audited(context: dg.AssetExecutionContext, project: Project) -> None:
    """Let the warehouses show what was written; one that cannot now will with its next publication."""
    for warehouse in project.warehouses:
        try:
            refresh(project, warehouse, context.run.run_id)
        except (ConnectorError, LeaseTaken) as error:
            context.log.warning(f"warehouse {warehouse} does not show these writes yet: {visible(str(error))}")


def _table(rows: list[dict[str, object]]) -> dg.MetadataValue:
    columns = [name for name in SHOWN_COLUMNS if rows and name in rows[0]]
    records = [
        dg.TableRecord({name: str(row[name] if row[name] is not None else "") for name in columns}) for row in rows
    ]
    schema = dg.TableSchema([dg.TableColumn(name) for name in columns] or [dg.TableColumn("nothing")])
    return dg.MetadataValue.table(records, schema=schema)
