"""Open Spark in place of DuckDB. PySpark, an extra, is imported only from here."""

from collections.abc import Mapping
from importlib.util import find_spec

from connectors.kit.errors import SettingsError
from engine.storage.backend.backend import Backend


def spark(master: str, config: Mapping[str, str | int | bool]) -> Backend:
    """Open Spark; raises SettingsError where PySpark or Java is missing."""
    if find_spec("pyspark") is None:
        raise SettingsError("engine: spark needs PySpark: pip install -c constraints.txt -e '.[spark]'")
    from engine.storage.backend import spark as engine_spark

    return engine_spark.connect(master, config)
