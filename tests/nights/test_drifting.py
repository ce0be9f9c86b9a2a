"""A source that changes its fields between two nights, under each contract."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from connectors.kit.base import Connector
from connectors.kit.errors import SettingsError
from engine.build.conform import conform_tables
from engine.build.context import BuildContext, TableResult
from engine.build.current_tables import Tables
from engine.build.tables import TABLES
from engine.config.project import Project
from engine.extract.limits import Limits
from engine.extract.result import StreamResult
from engine.extract.run import extract
from sandbox.server import Sandbox
from tests.conftest import TODAY, opened
from transforms.conform.ecb_rates import quotes

FEW_QUOTES = quotes(None).slice(0, 1)
HUBSPOT, ODOO = "hubspot", "odoo"
SYSTEMS, BY_HUBSPOT, BY_ODOO = (
    pytest.mark.parametrize("system", names) for names in ([HUBSPOT, ODOO], [HUBSPOT], [ODOO])
)


@dataclass
class DriftEnv:
    """One connection to one system, whose accounts are read and built night after night."""

    system: str
    sandbox: Sandbox
    project: Project
    patch: pytest.MonkeyPatch
    runs: int = 0
    limits: Limits = field(default_factory=Limits)
    built: dict[str, TableResult] = field(default_factory=dict)

    def path(self, name: str) -> str:
        """Name a custom field as a map does."""
        return f"properties.{name}" if self.system == HUBSPOT else f"x_{name}"

    def add(self, name: str, kind: str = "char", values: Any = "given") -> None:
        """Define a custom field, and give it a value in every record, whose stamps do not move."""
        held = dict.fromkeys(self.table, values) if values is not None else {}
        type_ = {"char": "string", "float": "number"}[kind] if self.system == HUBSPOT else kind
        self.source.add_field(self.kind, self.key(name), type_, held)

    def remove(self, name: str) -> None:
        """Take a field away."""
        self.source.remove_field(self.kind, self.key(name))

    @property
    def source(self) -> Any:
        return getattr(self.sandbox, self.system)

    @property
    def kind(self) -> str:
        return {HUBSPOT: "companies", ODOO: "res.partner"}[self.system]

    @property
    def table(self) -> dict[Any, dict[str, Any]]:
        return self.source.objects[self.kind] if self.system == HUBSPOT else self.source.tables[self.kind]

    def key(self, name: str) -> str:
        return name if self.system == HUBSPOT else f"x_{name}"

    def touch(self, count: int, **values: Any) -> list[str]:
        """Change so many of the records that are in good order, as a person would."""
        good = self.column("name")
        chosen = [number for number in self.table if str(number) in good][:count]
        for place, number in enumerate(chosen):
            self.sandbox.edit(self.system, self.kind, number, {"city": f"Town {self.runs} {place}"} | values)
        return [str(number) for number in chosen]

    def map(self, **fields: Any) -> None:
        self.project.connections[self.system].fields = {"accounts": fields}

    def agree(self, contract: str, **more: Any) -> None:
        for name, value in ({"contract": contract} | more).items():
            setattr(self.project.connections[self.system], name, value)

    def read(self, *, full: bool = False) -> StreamResult:
        """Read the accounts an hour later."""
        self.runs += 1
        self.sandbox.clock.advance(3600)
        return next(iter(extract(self.project, self.system, f"run-{self.runs}", full=full, limits=self.limits)))

    def build(self) -> None:
        """Make the conformed tables: scores would only take their time."""
        making = BuildContext(self.project, TABLES, TODAY, f"build-{self.runs}")
        self.built = {one.table: one for one in conform_tables(making, ["accounts"])}
        self.project.ledger.snapshots.switch(making.snapshot, TODAY, making.run_id)

    def night(self, *, full: bool = False) -> StreamResult:
        result = self.read(full=full)
        self.build()
        return result

    @property
    def note(self) -> dict[str, Any]:
        return dict(self.built["accounts"].notes[f"{self.system}/accounts"])

    def column(self, name: str) -> dict[str, Any]:
        rows = Tables(self.project).query(f"SELECT account_id, {name} AS value FROM accounts")
        return {row["account_id"]: row["value"] for row in rows}

    def aside(self, reason: str) -> set[str]:
        """Name the records that are in quarantine for a reason."""
        rows = Tables(self.project).query("SELECT record_id, reasons FROM quarantine")
        return {row["record_id"] for row in rows if reason in row["reasons"].split("; ")}

    def accept(self) -> None:
        self.project.ledger.source_fields.accept(self.system)


def ignoring(connector: Connector, path: str) -> Connector:
    """Let every stream of a connector leave a field out on purpose."""
    connector.streams = tuple(replace(one, ignores=(*one.ignores, path)) for one in connector.streams)
    return connector


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], DriftEnv]]:
    with Sandbox(customers=24, seed=3, today=TODAY) as sandbox:
        monkeypatch.setenv("SANDBOX_URL", sandbox.url)

        def make(system: str) -> DriftEnv:
            project = opened(tmp_path)
            project.connections = {system: project.connections[system]}
            project.connections[system].streams = ["accounts"]
            project.connections[system].max_quarantine_share = 1
            project.deliveries, project.model.links = {}, {}
            return DriftEnv(system, sandbox, project, monkeypatch)

        yield make


class TestEvolve:
    @SYSTEMS
    def test_a_new_field_is_reported_until_somebody_acts(self, house, system):
        here = house(system)
        assert here.night().new_fields == []
        here.add("kundennummer")
        assert here.night().new_fields == [here.path("kundennummer")]
        assert here.read().new_fields == [here.path("kundennummer")]
        here.accept()
        assert here.read().new_fields == []

    @BY_HUBSPOT
    @pytest.mark.parametrize("act", ["map", "ignore", "write"])
    def test_who_uses_a_field_knows_of_it(self, house, system, act):
        here = house(system)
        here.night()
        here.add("kundennummer")
        if act == "map":
            here.map(phone=here.path("kundennummer"))
        elif act == "ignore":
            plain = here.project.open
            here.patch.setattr(here.project, "open", lambda name: ignoring(plain(name), here.path("kundennummer")))
        else:
            here.project.deliveries = opened(here.project.home).deliveries
            delivery = here.project.deliveries[f"scores_to_{system}"]
            delivery.fields |= {here.key("kundennummer"): next(iter(delivery.fields.values()))}
        assert here.read().new_fields == []

    @SYSTEMS
    def test_a_mapped_field_that_is_gone_stops_no_connection_and_sets_its_rows_aside(self, house, system):
        here = house(system)
        here.add("ust_id")
        here.map(tax_id=here.path("ust_id"))
        here.night()
        before = here.column("tax_id")
        here.remove("ust_id")
        touched = here.touch(3)
        result = here.night()
        assert (result.status, result.gone_fields) == ("done", [here.path("ust_id")])
        assert here.aside(f"tax_id: field {here.path('ust_id')} no longer exists at the source") == set(touched)
        assert here.column("tax_id") == {key: value for key, value in before.items() if key not in touched}

    @BY_ODOO
    def test_above_the_share_the_last_good_table_is_kept(self, house, system):
        here = house(system)
        here.add("ust_id")
        here.map(tax_id=here.path("ust_id"))
        here.agree("evolve", max_quarantine_share=0.05)
        here.night()
        before = here.column("tax_id")
        here.remove("ust_id")
        touched = here.touch(10)
        here.night()
        assert here.column("tax_id") == before
        assert here.note["kept_last"] == len(before)
        assert set(touched) <= here.aside(f"tax_id: field {here.path('ust_id')} no longer exists at the source")

    @BY_HUBSPOT
    def test_rows_leave_quarantine_when_the_field_is_back_and_they_are_read_again(self, house, system):
        here = house(system)
        here.add("ust_id")
        here.map(tax_id=here.path("ust_id"))
        here.night()
        here.remove("ust_id")
        touched = here.touch(3)
        here.night()
        here.add("ust_id", values="back")
        assert here.night().gone_fields == []
        reason = f"tax_id: field {here.path('ust_id')} no longer exists at the source"
        assert here.aside(reason) == set(touched)  # what was read meanwhile has no value yet
        here.night(full=True)
        assert here.aside(reason) == set()
        assert {here.column("tax_id")[key] for key in touched} == {"back"}

    @SYSTEMS
    def test_a_renamed_field_is_mapped_anew_without_a_request(self, house, system):
        here = house(system)
        here.add("ust_id")
        here.map(tax_id=here.path("ust_id"))
        here.night()
        here.remove("ust_id")
        here.add("vat_id", values="renamed")
        touched = here.touch(3)
        result = here.night()
        assert (result.new_fields, result.gone_fields) == ([here.path("vat_id")], [here.path("ust_id")])
        assert here.aside(f"tax_id: field {here.path('ust_id')} no longer exists at the source") == set(touched)
        here.map(tax_id=[here.path("vat_id"), here.path("ust_id")])
        here.sandbox.requests.clear()
        here.build()
        assert not here.sandbox.requests
        assert here.aside(f"tax_id: field {here.path('ust_id')} no longer exists at the source") == set()
        assert {here.column("tax_id")[key] for key in touched} == {"renamed"}

    @SYSTEMS
    def test_a_retyped_field_is_reported_and_its_values_speak_for_themselves(self, house, system):
        here = house(system)
        here.add("mitarbeiter", "float", 12.0 if system == ODOO else "12")
        here.map(employees=here.path("mitarbeiter"))
        here.night()
        here.remove("mitarbeiter")
        here.add("mitarbeiter", "char", "about a dozen")
        touched = here.touch(2)
        result = here.night()
        kinds = {HUBSPOT: "number to string", ODOO: "float to char"}[system]
        assert result.retyped_fields == [f"{here.path('mitarbeiter')} ({kinds})"]
        assert here.aside("employees: not a whole number") == set(touched)

    @SYSTEMS
    def test_a_typing_error_is_a_clear_error_on_any_night(self, house, system):
        here = house(system)
        here.add("ust_id")
        here.map(tax_id=here.path("ust_idd"))
        for _ in range(2):
            with pytest.raises(SettingsError, match=r"ust_idd', which fields.accounts maps; did you mean \S*ust_id"):
                here.read()
            here.map()
            here.read()
            here.map(tax_id=here.path("ust_idd"))

    @BY_HUBSPOT
    def test_a_field_that_is_accepted_as_gone_stays_empty(self, house, system):
        here = house(system)
        here.add("ust_id")
        here.map(tax_id=here.path("ust_id"))
        here.night()
        here.remove("ust_id")
        touched = here.touch(3)
        here.night()
        here.accept()
        assert here.night().gone_fields == []
        assert {here.column("tax_id")[key] for key in touched} == {None}


class TestFreeze:
    @SYSTEMS
    @pytest.mark.parametrize(
        ("change", "said"), [("new", "new: {}more"), ("gone", "gone: {}ust_id"), ("retyped", "retyped: {}ust_id")]
    )
    def test_nothing_lands_until_the_change_is_accepted(self, house, system, change, said):
        here = house(system)
        here.add("ust_id")
        here.map(tax_id=here.path("ust_id"))
        here.agree("freeze")
        assert here.night().status == "done"
        if change == "new":
            here.add("more")
        else:
            here.remove("ust_id")
        if change == "retyped":
            here.add("ust_id", "float")
        touched = here.touch(3)
        landed = here.project.ledger.files.newest_id()
        for _ in range(2):
            result = here.night()
            assert result.status == "failed"
            assert said.format(here.path("")) in str(result.error)
            assert f"`belvedere fields accept {system} accounts`" in str(result.error)
        assert here.project.ledger.files.rows_since(landed).get(f"raw/{system}/accounts") is None
        assert len(here.column("tax_id")) > len(touched)
        here.accept()
        result = here.night()
        assert (result.status, result.landed) == ("done", len(touched))

    @BY_HUBSPOT
    def test_a_value_that_is_not_of_its_type_sets_its_row_aside(self, house, system):
        here = house(system)
        here.add("mitarbeiter", values="12")
        here.map(employees=here.path("mitarbeiter"))
        here.agree("freeze")
        here.night()
        touched = here.touch(1, **{here.key("mitarbeiter"): "many"})
        assert here.night().status == "done"
        assert here.aside("employees: not a whole number") == set(touched)
        assert here.note["unfit"] == 1


class TestDiscardRow:
    @SYSTEMS
    def test_a_row_that_brings_a_new_field_along_waits_until_it_is_accepted(self, house, system):
        here = house(system)
        here.agree("discard_row")
        here.night()
        before = here.column("name")
        here.add("more", values=None)
        touched = here.touch(2, **{here.key("more"): "something"})
        here.touch(4)
        assert here.night().status == "done"
        assert here.aside(f"{here.path('more')}: new field, not accepted yet") == set(touched)
        assert set(here.column("name")) == set(before) - set(touched)
        here.accept()
        here.build()
        assert set(here.column("name")) == set(before)


class TestDiscardValue:
    @SYSTEMS
    def test_a_value_that_cannot_be_read_is_left_out_and_counted(self, house, system):
        here = house(system)
        here.add("mitarbeiter", values="12")
        here.map(employees=here.path("mitarbeiter"))
        here.agree("discard_value")
        here.night()
        touched = here.touch(2, **{here.key("mitarbeiter"): "many"})
        here.night()
        assert here.note["discarded"] == {"employees: not a whole number": 2}
        assert {here.column("employees")[key] for key in touched} == {None}
        assert not here.aside("employees: not a whole number")

    @SYSTEMS
    def test_a_field_that_is_gone_leaves_its_column_empty_and_is_counted(self, house, system):
        here = house(system)
        here.add("ust_id")
        here.map(tax_id=here.path("ust_id"))
        here.agree("discard_value")
        here.night()
        here.remove("ust_id")
        touched = here.touch(3)
        result = here.night()
        assert result.gone_fields == [here.path("ust_id")]
        assert here.note["discarded"] == {f"tax_id: field {here.path('ust_id')} no longer exists at the source": 3}
        assert {here.column("tax_id")[key] for key in touched} == {None}

    @BY_HUBSPOT
    def test_a_row_whose_required_column_is_gone_goes_to_quarantine(self, house, system):
        here = house(system)
        here.add("firma")
        here.map(name=here.path("firma"))
        here.agree("discard_value")
        here.night()
        here.remove("firma")
        touched = here.touch(3)
        here.night()
        assert here.aside(f"name: field {here.path('firma')} no longer exists at the source") == set(touched)


class TestBackFill:
    @SYSTEMS
    def test_a_field_mapped_later_has_its_values_at_once_without_a_request(self, house, system):
        here = house(system)
        here.add("ust_id", values="DE1")
        here.night()
        here.sandbox.requests.clear()
        here.map(tax_id=here.path("ust_id"))
        here.build()
        assert not here.sandbox.requests
        assert set(here.column("tax_id").values()) == {"DE1"}
        assert "unread" not in here.note

    @BY_HUBSPOT
    def test_files_of_before_and_after_the_map_changed_are_read_alike(self, house, system):
        here = house(system)
        here.add("ust_id", values="DE1")
        here.night()
        here.map(tax_id=here.path("ust_id"))
        touched = here.touch(3, **{here.key("ust_id"): "DE2"})
        here.night()
        found = here.column("tax_id")
        assert {found[key] for key in touched} == {"DE2"}
        assert {found[key] for key in found.keys() - set(touched)} == {"DE1"}
        here.limits = Limits(files=1)
        here.touch(1)
        here.night()
        assert len(here.project.ledger.files.for_asset(f"raw/{system}/accounts")) == 1
        assert here.column("tax_id") == found

    @BY_HUBSPOT
    def test_a_compaction_keeps_no_column_that_only_some_files_have(self, house, system):
        here = house(system)
        here.add("ust_id", values="DE1")
        here.night()
        here.map(tax_id=here.path("ust_id"))
        here.touch(3)
        here.night()
        here.map()
        here.limits = Limits(files=1)
        here.touch(1)
        here.night()
        here.map(tax_id=here.path("ust_id"))
        here.build()
        assert set(here.column("tax_id").values()) == {"DE1"}


def test_rows_that_were_read_before_a_field_was_asked_for_are_named_until_they_are_read_again(house):
    here = house(HUBSPOT)
    here.night()
    here.map(industry="properties.annualrevenue")
    touched = here.touch(2)
    here.limits = Limits(files=1)
    for _ in range(2):  # a compaction does not make it forgotten
        here.night()
        held = here.note["received"]
        assert here.note["unread"] == [
            f"{held - len(touched)} of {held} stored rows were read before properties.annualrevenue was requested: "
            "belvedere extract hubspot --stream accounts --full"
        ]
    here.night(full=True)
    assert "unread" not in here.note
