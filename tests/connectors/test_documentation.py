"""What docs/connectors.md shows is what the tests run, and what it says of other distributions is true."""

import re
import sys
import tomllib
from importlib import import_module, invalidate_caches
from pathlib import Path

import pytest

from connectors.kit.registry import find_connector, installed_connectors
from connectors.kit.testing.contract import Contract

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "connectors.md").read_text("utf-8")
SHOWN = re.findall(r"<!-- docs/examples/(\S+) -->\n```\w+\n(.*?)```", TEXT, re.DOTALL)


def test_the_guide_shows_the_files_that_are_tested():
    assert {name for name, _ in SHOWN} == {path.name for path in (DOCS / "examples").glob("*.*")}
    for name, code in SHOWN:
        assert code == (DOCS / "examples" / name).read_text("utf-8"), f"docs/connectors.md shows another {name}"


def test_the_guide_shows_no_code_that_is_not_tested():
    assert len(re.findall(r"^```\w", TEXT, re.MULTILINE)) == len(SHOWN)


def test_the_guide_names_only_what_there_is():
    names = (
        "answers",
        "keys",
        "is_page",
        "lets_in",
        "vanish",
        "touch",
        "level",
        "waived",
        "is_page_exact",
        "records",
        "written",
    )
    for name in names:
        assert f"`{name}" in TEXT
        assert hasattr(Contract, name)
    for path in re.findall(r"`((?:connectors|tests|docs)/[\w/.]+\.\w+)`", TEXT):
        assert "acme" in path or (DOCS.parent / path).is_file(), path


def test_the_worked_example_stays_short():
    assert len(dict(SHOWN)["test_acme.py"].splitlines()) <= 25
    assert len(dict(SHOWN)["acme.py"].splitlines()) <= 65


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install the example as its pyproject.toml says."""
    given = tomllib.loads(dict(SHOWN)["pyproject.toml"])["project"]
    info = tmp_path / "belvedere_acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {given['name']}\nVersion: {given['version']}\n")
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in given["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
    for place in (tmp_path, DOCS / "examples"):
        monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, "acme", raising=False)
    yield
    invalidate_caches()


def test_a_connector_of_another_distribution_is_found_by_its_entry_point(installed):
    assert "acme" in installed_connectors()
    assert find_connector("acme") is import_module("acme").Acme
