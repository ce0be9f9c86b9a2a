"""A source that does not describe itself: its records tell what has drifted, under each contract."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.kit.base import SourceField
from connectors.kit.errors import BusyError, SettingsError
from engine.config.project import Project
from engine.extract.run import extract
from engine.extract.schema_drift.drift import glance, terms
from engine.extract.schema_drift.field_usage import covering
from sandbox.server import Sandbox
from tests.engine.extract.toy import ACCOUNTS, ExtractEnv, Sweeping, Toy
from transforms.conform.contract_rules import Absence, Terms

HOUR = timedelta(hours=1)
DESCRIBED = replace(ACCOUNTS, has_schema_api=True)


class Describing(Sweeping):
    """Say what fields there are: those of the first record."""

    def discover(self) -> dict[str, list[SourceField]]:
        first = next(iter(self.world.records.values()), {})
        return {"accounts": [SourceField(path, type(value).__name__) for path, value in first.items()]}


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ExtractEnv]:
    def build(*args: object, contract: str = "evolve") -> ExtractEnv:
        made = ExtractEnv(tmp_path, monkeypatch, *args)
        made.project.connections["crm"].contract = contract
        made.world.fill(30)
        for row in made.world.records.values():
            row["score"] = "1"
        return made

    return build


def night(house: ExtractEnv, **options: object):
    house.world.now += HOUR
    return house.read(**options)


def give(house: ExtractEnv, count: int, **values: object) -> None:
    """Change so many records, a minute ago."""
    for number in range(1, count + 1):
        house.world.put(number, at=house.world.now + timedelta(minutes=number), **values)


class TestByRecords:
    def test_a_new_field_of_a_single_record_is_reported_until_it_is_accepted(self, house):
        here = house()
        assert night(here).new_fields == []
        give(here, 1, extra=1)
        assert night(here).new_fields == ["extra"]
        assert night(here).new_fields == ["extra"]
        assert [one.path for one in here.project.ledger.source_fields.accept("crm", "accounts")] == ["extra"]
        assert night(here).new_fields == []

    def test_a_field_that_all_records_lose_is_gone_and_one_becomes_an_object(self, house):
        here = house()
        night(here)
        for number in range(1, 6):
            del here.world.records[number]["score"]
        give(here, 5, name={"first": "A"})
        result = night(here)
        assert (result.gone_fields, result.retyped_fields) == (["score"], ["name (text to object)"])
        assert result.new_fields == ["name.first"]

    def test_a_field_that_one_record_a_night_loses_is_gone_and_no_value_was_emptied_unsaid(self, house):
        here = house()
        night(here)
        first = here.world.now + HOUR
        for number, said in ((1, []), (2, []), (3, []), (4, []), (5, ["score"])):
            del here.world.records[number]["score"]
            here.world.put(number, at=here.world.now + timedelta(minutes=1))
            assert night(here).gone_fields == said
        assert terms(here.project, "crm", here.stream).gone == {"score": Absence("score", first)}

    def test_a_mapped_path_that_no_record_ever_had_is_named(self, house):
        here = house()
        for row in here.world.records.values():
            del row["score"]
        assert night(here).never_seen == ["score"]
        give(here, 1, score=5)
        assert night(here).never_seen == []

    def test_what_a_run_that_died_has_landed_is_looked_at_by_the_next(self, house, monkeypatch):
        here = house()
        night(here)
        give(here, 1, extra=1)
        with monkeypatch.context() as patch:
            patch.setattr(
                "engine.extract.schema_drift.drift.FieldTracker.settle",
                lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()),
            )
            with pytest.raises(KeyboardInterrupt):
                night(here)
        assert night(here).new_fields == ["extra"]

    def test_a_compaction_is_no_news(self, house, monkeypatch):
        here = house()
        night(here)
        monkeypatch.setattr("engine.extract.compaction.FILES", 1)
        give(here, 1)
        night(here)
        assert here.project.ledger.source_fields.unobserved_files("crm", "accounts") == []


class TestFreezeByRecords:
    def test_the_page_that_brings_a_new_field_does_not_land(self, house):
        here = house(contract="freeze")
        assert night(here).status == "done"
        landed = here.landed()
        give(here, 12)
        here.world.put(15, at=here.world.now + timedelta(minutes=15), extra=1)
        result = night(here)
        assert (result.status, result.new_fields) == ("failed", ["extra"])
        assert "new: extra; the contract is freeze" in result.error
        assert "`belvedere fields accept crm accounts`" in result.error
        assert here.landed() == landed + 10  # the page before it, which is as accepted
        assert night(here).status == "failed"
        assert here.landed() == landed + 10
        here.project.ledger.source_fields.accept("crm")
        assert night(here).status == "done"
        assert here.held() == here.truth()

    def test_a_first_reading_is_accepted_as_it_is(self, house):
        here = house(contract="freeze")
        here.world.put(29, at=here.world.now - HOUR, extra=1)
        assert night(here).status == "done"


class TestDescribed:
    def test_the_source_is_asked_once_a_run(self, house, monkeypatch):
        here = house(Describing, DESCRIBED)
        asked: list[int] = []
        plain = Describing.discover
        monkeypatch.setattr(Describing, "discover", lambda self: asked.append(1) or plain(self))
        night(here)
        assert asked == [1]

    def test_a_source_that_does_not_describe_itself_is_not_asked(self, house, monkeypatch):
        here = house()
        monkeypatch.setattr(Toy, "discover", lambda self: (_ for _ in ()).throw(BusyError("asked")))
        assert night(here).status == "done"

    def test_what_was_never_there_and_a_user_maps_stops_the_connection(self, house):
        here = house(Describing, DESCRIBED)
        here.kind.streams = ()
        here.stream = replace(DESCRIBED, fields={**DESCRIBED.fields, "phone": "scoer"})
        here.kind.declared = classmethod(lambda cls, settings: (here.stream,))
        here.kind.__init__ = lambda self, name, settings: (
            Toy.__init__(self, name, settings),
            setattr(self, "streams", (here.stream,)),
        )[0]
        with pytest.raises(SettingsError, match=r"no field 'scoer', which fields.accounts maps; did you mean score\?"):
            night(here)
        assert here.landed() == 0

    def test_what_only_the_default_map_names_may_be_missing(self, house):
        here = house(Describing, replace(DESCRIBED, fields={**DESCRIBED.fields, "phone": "tel"}))
        assert night(here).status == "done"


class TestTerms:
    def test_follow_the_contract_and_the_sightings(self, house):
        here = house(Describing, DESCRIBED)
        night(here)
        for row in here.world.records.values():
            del row["score"]
            row["extra"] = 1
        night(here)
        since = here.world.now
        expected = {
            "evolve": Terms(gone={"score": Absence("score", since)}),
            "discard_row": Terms(gone={"score": Absence("score", since)}, refused=("extra",)),
            "discard_value": Terms(True, gone={"score": Absence("score", since)}),
        }
        for contract, wanted in expected.items():
            here.project.connections["crm"].contract = contract
            assert terms(here.project, "crm", here.stream) == wanted
        here.project.ledger.source_fields.accept("crm")
        here.project.connections["crm"].contract = "discard_row"
        assert terms(here.project, "crm", here.stream) == Terms()


def test_a_path_is_covered_by_its_field_or_one_that_it_lies_within():
    known = {"user_id", "address", "a.b"}
    assert covering("user_id.0", known) == "user_id"
    assert covering("address.city", known) == "address"
    assert covering("a.b.c.1", known) == "a.b"
    assert covering("a.c", known) is None


class TestTheDoors:
    """Mapped fields that are not there, and never were."""

    def test_a_typing_error_names_the_nearest(self, project: Project):
        for name, wrong, nearest in (
            ("hubspot", "properties.erpid", "properties.erp_id"),
            ("odoo", "vatt", "vat"),
            ("zendesk", "organization_fields.vat_numbr", "organization_fields.vat_number"),
        ):
            project.connections[name].fields = {"accounts": {"tax_id": wrong}}
            with pytest.raises(
                SettingsError, match=rf"{name}: accounts have no field '{wrong}'.*did you mean {nearest}"
            ):
                glanced(project, name)

    def test_where_none_is_near_the_companys_own_fields_are_named(self, project: Project):
        project.connections["hubspot"].fields = {"deals": {"lead_source": "properties.qqqq"}}
        with pytest.raises(SettingsError, match=r"choices: properties\.lead_source$"):
            glanced(project, "hubspot")

    def test_what_only_the_default_map_names_is_a_note(self, sandbox: Sandbox, project: Project):
        defined = sandbox.hubspot.properties.defined["companies"]
        defined["erp_id_2"] = defined.pop("erp_id") | {"name": "erp_id_2"}
        (note,) = glanced(project, "hubspot")
        assert note.startswith(
            "hubspot: accounts have no field 'properties.erp_id': what it feeds stays empty; did you"
        )
        assert [note.split("'")[1] for note in glanced(project, "odoo")][:2] == ["date", "activity_category"]
        assert glanced(project, "zendesk") == []

    def test_no_record_of_the_village_has_a_field_that_the_map_ignores_or_reads_and_the_door_does_not_describe(
        self, sandbox: Sandbox, project: Project
    ):
        for connection in project.connections:
            for result in extract(project, connection, "first"):
                stray = set(result.never_seen) - {"generated_timestamp"}
                assert (result.new_fields, result.gone_fields, result.retyped_fields) == ([], [], [])
                assert connection != "zendesk" or not stray


def glanced(project: Project, name: str) -> list[str]:
    connector = project.open(name)
    try:
        return [note for shape in glance(project, connector, connector.check().now) for note in shape.notes]
    finally:
        connector.close()
