"""The check of a stream's fields against those that were accepted."""

from collections.abc import Mapping

import dagster as dg

from engine.config.connection import Contract
from engine.extract.result import StreamResult
from engine.extract.schema_drift.field_history import Drift

FIELDS = "fields"


def fields_check(key: dg.AssetKey, result: StreamResult, contract: Contract) -> dg.AssetCheckResult:
    """Fail with a warning for fields that are new, gone or retyped; with an error under the contract freeze."""
    drift = Drift(tuple(result.new_fields), tuple(result.gone_fields), tuple(result.retyped_fields))
    severity = dg.AssetCheckSeverity.ERROR if contract == "freeze" else dg.AssetCheckSeverity.WARN
    accept = f"belvedere fields accept {result.connection} {result.stream}"
    return dg.AssetCheckResult(
        passed=not drift,
        check_name=FIELDS,
        asset_key=key,
        severity=severity,
        description=f"{drift} ({accept})" if drift else None,
        metadata={"contract": contract, **fields_metadata(result)},
    )


def fields_metadata(result: StreamResult) -> Mapping[str, dg.MetadataValue]:
    """List new, gone, retyped and never seen fields; empty without any."""
    listed = {
        "new_fields": result.new_fields,
        "gone_fields": result.gone_fields,
        "retyped_fields": result.retyped_fields,
        "never_seen": result.never_seen,
    }
    return {name: dg.MetadataValue.text(", ".join(fields)) for name, fields in listed.items() if fields}
