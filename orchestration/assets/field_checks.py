"""What Dagster shows of a stream's fields: a check that they are as they were accepted, and which are not."""

from collections.abc import Mapping

import dagster as dg

from engine.config.connection import Contract
from engine.extract.result import StreamResult
from engine.extract.schema_drift.field_history import Drift

FIELDS = "fields"


def fields_check(key: dg.AssetKey, result: StreamResult, contract: Contract) -> dg.AssetCheckResult:
    """Warn of fields that are not as they were accepted; where the contract is freeze, that is an error."""
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
    """Name the fields by what is the matter with them; nothing where all are well."""
    listed = {
        "new_fields": result.new_fields,
        "gone_fields": result.gone_fields,
        "retyped_fields": result.retyped_fields,
        "never_seen": result.never_seen,
    }
    return {name: dg.MetadataValue.text(", ".join(fields)) for name, fields in listed.items() if fields}
