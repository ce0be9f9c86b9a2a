"""Which engine a build takes, and what is said when it cannot."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from connectors.kit.errors import SettingsError
from engine.config.customer_model import CustomerModelConfig
from engine.config.loader import ROOT
from engine.config.project import Project
from engine.storage.backend import factory

MODEL = "type: orchestration.components.CustomerModel\nattributes: "


def refused(folder: Path, attributes: str) -> str:
    """Say how a customer model is refused, in one line."""
    (folder / "model").mkdir()
    (folder / "model" / "defs.yaml").write_text(MODEL + attributes)
    with pytest.raises(SettingsError) as caught:
        Project.load(folder, folder / "home")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_engine_is_duckdb_by_default():
    assert CustomerModelConfig().engine == "duckdb"


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ("{engine: sparc}", "'engine': input should be 'duckdb' or 'spark'"),
        ("{engine: spark, spark: {master: here}}", "is one of local[*], local[4], spark://host:port, "),
        ("{engine: spark, spark: {master: 'local[x]'}}", "is one of local[*]"),
        ("{engine: spark, spark: {confg: {}}}", "unknown setting 'spark.confg'"),
        (
            "{engine: spark, spark: {config: {driver.memory: 8g}}}",
            "'driver.memory' is not a setting of Spark: their names begin with spark.",
        ),
        ("{engine: spark, spark: {config: {spark.driver.memory: [8]}}}", "spark.config.spark.driver.memory"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, attributes: str, words: str):
    message = refused(tmp_path, attributes)
    assert "model/defs.yaml" in message
    assert words in message


def test_without_pyspark_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(factory, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"^engine: spark needs PySpark: pip install .*\[spark\]'$"):
        factory.spark("local[1]", {})


def test_without_java_the_message_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("pyspark")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(
        SettingsError, match="^engine: spark needs Java 17 or newer: apt-get install default-jre-headless"
    ):
        factory.spark("local[1]", {})


def test_a_java_that_does_not_start_is_reported_in_one_line(tmp_path: Path):
    pytest.importorskip("pyspark")
    code = (
        "from connectors.kit.errors import SettingsError\n"
        "from engine.storage.backend import factory\n"
        "try: factory.spark('local[1]', {})\n"
        "except SettingsError as error: print(error)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"JAVA_HOME": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert result.startswith("engine: spark needs Java 17 or newer")
    assert len(result.splitlines()) == 1
