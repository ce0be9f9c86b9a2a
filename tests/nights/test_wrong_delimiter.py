"""A file that was read once with the wrong delimiter: the setting is corrected, and a full refresh heals what it left."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.build.current_tables import Tables
from engine.config.loader import ROOT
from engine.config.project import Project

CONNECTION = """
type: orchestration.components.Connection
attributes:
  connector: files
  role: erp
  settings:
    root: {root}
    streams:
      accounts:
        path: customers.csv
        primary_key: id
        delimiter: "{delimiter}"
        table: accounts
        fields: {{account_id: id, name: name, is_active: {{constant: "true"}}}}
"""
MODEL = """
type: orchestration.components.CustomerModel
attributes: {reporting_currency: EUR}
"""


class Books:
    """A home with one connection to one file, worked on by typed commands."""

    def __init__(self, home: Path) -> None:
        self.home, self.defs, self.data = home / "home", home / "defs", home / "data"
        for folder in (self.data, self.defs / "books", self.defs / "model"):
            folder.mkdir(parents=True)
        (self.defs / "model" / "defs.yaml").write_text(MODEL)
        self.rows = [f"{number};Customer {number}" for number in range(1, 31)]
        self.save()

    def save(self) -> None:
        (self.data / "customers.csv").write_text("\n".join(["id;name", *self.rows]) + "\n")

    def configure(self, delimiter: str) -> None:
        text = CONNECTION.format(root=self.data, delimiter=delimiter)
        (self.defs / "books" / "defs.yaml").write_text(text)

    def belvedere(self, *words: str) -> str:
        """Run a command as a shell does, and expect that nothing is missing."""
        folders = {"BELVEDERE_HOME": str(self.home), "BELVEDERE_DEFS": str(self.defs)}
        folders["DAGSTER_HOME"] = str(self.home / "dagster")
        command = [sys.executable, "-W", "ignore", "-m", "orchestration.cli.main", *words]
        environment = {**os.environ, **folders}
        ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def table(self, name: str) -> list[dict[str, object]]:
        return Tables(Project.load(defs=self.defs, home=self.home)).query(f"SELECT * FROM {name}")


@pytest.mark.timeout(600)
def test_a_full_refresh_heals_what_a_wrong_delimiter_left(tmp_path: Path):
    books = Books(tmp_path)
    books.configure(",")
    books.belvedere("extract", "books")

    books.configure(";")
    books.belvedere("extract", "books", "--full")
    books.belvedere("build")

    assert sorted(row["account_id"] for row in books.table("accounts")) == sorted(map(str, range(1, 31)))
    assert books.table("quarantine") == []

    books.rows.append("31;Customer 31")
    books.save()
    books.belvedere("extract", "books")
    books.belvedere("build")

    assert len(books.table("accounts")) == 31
    assert books.table("quarantine") == []
    assert "--full" not in books.belvedere("reconcile", "books")  # which it would advise where something differed
