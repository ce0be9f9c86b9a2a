"""`belvedere fields` and `belvedere check --fields`, on a source that has changed its fields since the first night."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.extract.run import extract
from orchestration.cli.main import main
from sandbox.server import Sandbox
from tests.conftest import TODAY, opened

Said = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def portal(monkeysession: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Read accounts, change their fields, and read them again."""
    home = tmp_path_factory.mktemp("fields")
    with Sandbox(customers=20, seed=3, today=TODAY) as running:
        monkeysession.setenv("SANDBOX_URL", running.url)
        project = opened(home)
        list(extract(project, "hubspot", "first", streams=["accounts", "owners"]))
        defined = running.hubspot.properties.defined["companies"]
        running.hubspot.properties.add("companies", {"name": "kundennummer", "type": "string", "label": "Kd-Nr."})
        del defined["vat_number"]
        defined["numberofemployees"] |= {"type": "string"}
        running.clock.advance(3600)
        list(extract(project, "hubspot", "second", streams=["accounts"]))
        yield home


@pytest.fixture(autouse=True)
def at_home(portal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELVEDERE_HOME", str(portal))


def lines(capsys: Said, *words: str, code: int = 0) -> list[str]:
    assert main([*words]) == code
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_lists_every_field_with_what_it_is_good_for(capsys: Said):
    output = lines(capsys, "fields", "list", "hubspot", "accounts")
    assert "hubspot accounts properties.domain string Domain mapped: domain" in output
    assert "hubspot accounts properties.annualrevenue ignored" in output
    assert "hubspot accounts properties.belvedere_retention_score number Belvedere retention score written" in output
    assert "hubspot accounts properties.type string Type not mapped" in output
    assert not [line for line in output if line.startswith("hubspot owners")]


def test_lists_what_is_new_gone_or_retyped(capsys: Said):
    output = lines(capsys, "fields", "list", "--new")[1:]
    assert [line.split()[2] for line in output] == [
        "properties.kundennummer",
        "properties.numberofemployees",
        "properties.vat_number",
    ]
    assert output[0].startswith("hubspot accounts properties.kundennummer string Kd-Nr. new since 2026-10-20 ")
    assert output[1].endswith("retyped, was number; mapped: employees")
    assert "gone since 2026-10-20 " in output[2]
    assert output[2].endswith("mapped: tax_id")


def test_all_connections_are_listed_by_default(capsys: Said):
    assert {line.split()[1] for line in lines(capsys, "fields")[1:]} == {"accounts", "owners"}


def test_check_names_the_changes_and_with_fields_what_is_not_mapped(capsys: Said):
    output = lines(capsys, "check", "hubspot")
    assert (
        "accounts: new: properties.kundennummer; gone: properties.vat_number; retyped: properties.numberofemployees "
        "(number to string); to accept: belvedere fields accept hubspot accounts"
    ) in output
    assert not [line for line in output if "neither mapped" in line]
    output = lines(capsys, "check", "hubspot", "--fields")
    (unused,) = [line for line in output if line.startswith("accounts:") and "neither mapped nor ignored" in line]
    assert "properties.type" in unused
    assert "properties.domain" not in unused


def test_looking_changes_nothing(capsys: Said):
    assert lines(capsys, "fields", "list", "--new") == lines(capsys, "fields", "list", "--new")


@pytest.mark.parametrize("words", [("hubspot", "acounts"), ("hubsport",)])
def test_a_misspelt_name_is_told(capsys: Said, words: tuple[str, ...]):
    for action in ("list", "accept"):
        assert main(["fields", action, *words]) == 1
        assert "did you mean" in capsys.readouterr().err


def test_what_is_accepted_is_no_news_any_more(capsys: Said, portal: Path):
    accepted = lines(capsys, "fields", "accept", "hubspot", "accounts")
    assert accepted == [
        "hubspot accounts: properties.kundennummer accepted as new",
        "hubspot accounts: properties.numberofemployees accepted as retyped",
        "hubspot accounts: properties.vat_number accepted as gone",
    ]
    assert lines(capsys, "fields", "list", "--new") == ["no field is new, gone or retyped"]
    assert lines(capsys, "fields", "accept", "hubspot") == ["nothing to accept: the fields of hubspot have not changed"]
    assert any("gone, accepted; mapped: tax_id" in line for line in lines(capsys, "fields"))
    result = next(iter(extract(opened(portal), "hubspot", "third", streams=["accounts"])))
    assert (result.new_fields, result.gone_fields, result.retyped_fields) == ([], [], [])
