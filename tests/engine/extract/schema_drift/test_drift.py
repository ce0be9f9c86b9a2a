"""A source that does not describe itself: its records tell what has drifted, under each contract."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.kit.base import SourceField
from connectors.kit.errors import BusyError, SettingsError
from engine.config.project import Project
from engine.extract.limits import Limits
from engine.extract.run import extract
from engine.extract.schema_drift.drift import compare_fields, terms
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
def make_env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ExtractEnv]:
    def build(*args: object, contract: str = "evolve") -> ExtractEnv:
        env = ExtractEnv(tmp_path, monkeypatch, *args)
        env.project.connections["crm"].contract = contract
        env.world.fill(30)
        for row in env.world.records.values():
            row["score"] = "1"
        return env

    return build


def night(env: ExtractEnv, **options: object):
    env.world.now += HOUR
    return env.read(**options)


def edit_records(env: ExtractEnv, count: int, **values: object) -> None:
    """Change so many records, a minute ago."""
    for number in range(1, count + 1):
        env.world.put(number, at=env.world.now + timedelta(minutes=number), **values)


class TestByRecords:
    def test_a_new_field_of_a_single_record_is_reported_until_it_is_accepted(self, make_env):
        env = make_env()
        assert night(env).new_fields == []
        edit_records(env, 1, extra=1)
        assert night(env).new_fields == ["extra"]
        assert night(env).new_fields == ["extra"]
        assert [one.path for one in env.project.ledger.source_fields.accept("crm", "accounts")] == ["extra"]
        assert night(env).new_fields == []

    def test_a_field_that_all_records_lose_is_gone_and_one_becomes_an_object(self, make_env):
        env = make_env()
        night(env)
        for number in range(1, 6):
            del env.world.records[number]["score"]
        edit_records(env, 5, name={"first": "A"})
        result = night(env)
        assert (result.gone_fields, result.retyped_fields) == (["score"], ["name (text to object)"])
        assert result.new_fields == ["name.first"]

    def test_a_field_that_one_record_a_night_loses_is_gone_and_no_value_was_emptied_unsaid(self, make_env):
        env = make_env()
        night(env)
        first = env.world.now + HOUR
        for number, expected in ((1, []), (2, []), (3, []), (4, []), (5, ["score"])):
            del env.world.records[number]["score"]
            env.world.put(number, at=env.world.now + timedelta(minutes=1))
            assert night(env).gone_fields == expected
        assert terms(env.project, "crm", env.stream).absences == {"score": Absence("score", first)}

    def test_a_mapped_path_that_no_record_ever_had_is_named(self, make_env):
        env = make_env()
        for row in env.world.records.values():
            del row["score"]
        assert night(env).never_seen == ["score"]
        edit_records(env, 1, score=5)
        assert night(env).never_seen == []

    def test_what_a_run_that_died_has_landed_is_looked_at_by_the_next(self, make_env, monkeypatch):
        env = make_env()
        night(env)
        edit_records(env, 1, extra=1)
        with monkeypatch.context() as patch:
            patch.setattr(
                "engine.extract.schema_drift.drift.FieldTracker.settle",
                lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()),
            )
            with pytest.raises(KeyboardInterrupt):
                night(env)
        assert night(env).new_fields == ["extra"]

    def test_a_compaction_is_no_news(self, make_env):
        env = make_env()
        night(env)
        env.limits = Limits(files=1)
        edit_records(env, 1)
        night(env)
        assert env.project.ledger.source_fields.unobserved_files("crm", "accounts") == []


class TestFreezeByRecords:
    def test_the_page_that_brings_a_new_field_does_not_land(self, make_env):
        env = make_env(contract="freeze")
        assert night(env).status == "done"
        landed = env.landed()
        edit_records(env, 12)
        env.world.put(15, at=env.world.now + timedelta(minutes=15), extra=1)
        result = night(env)
        assert (result.status, result.new_fields) == ("failed", ["extra"])
        assert "new: extra; the contract is freeze" in result.error
        assert "`belvedere fields accept crm accounts`" in result.error
        assert env.landed() == landed + 10  # the page before it, which is as accepted
        assert night(env).status == "failed"
        assert env.landed() == landed + 10
        env.project.ledger.source_fields.accept("crm")
        assert night(env).status == "done"
        assert env.names() == env.truth()

    def test_a_first_reading_is_accepted_as_it_is(self, make_env):
        env = make_env(contract="freeze")
        env.world.put(29, at=env.world.now - HOUR, extra=1)
        assert night(env).status == "done"


class TestDescribed:
    def test_the_source_is_asked_once_a_run(self, make_env, monkeypatch):
        env = make_env(Describing, DESCRIBED)
        asked: list[int] = []
        plain = Describing.discover
        monkeypatch.setattr(Describing, "discover", lambda self: asked.append(1) or plain(self))
        night(env)
        assert asked == [1]

    def test_a_source_that_does_not_describe_itself_is_not_asked(self, make_env, monkeypatch):
        env = make_env()
        monkeypatch.setattr(Toy, "discover", lambda self: (_ for _ in ()).throw(BusyError("asked")))
        assert night(env).status == "done"

    def test_what_was_never_there_and_a_user_maps_stops_the_connection(self, make_env):
        env = make_env(Describing, DESCRIBED)
        env.kind.streams = ()
        env.stream = replace(DESCRIBED, fields={**DESCRIBED.fields, "phone": "scoer"})
        env.kind.declared_streams = classmethod(lambda cls, settings: (env.stream,))
        env.kind.__init__ = lambda self, name, settings: (
            Toy.__init__(self, name, settings),
            setattr(self, "streams", (env.stream,)),
        )[0]
        with pytest.raises(SettingsError, match=r"no field 'scoer', which fields.accounts maps; did you mean score\?"):
            night(env)
        assert env.landed() == 0

    def test_what_only_the_default_map_names_may_be_missing(self, make_env):
        env = make_env(Describing, replace(DESCRIBED, fields={**DESCRIBED.fields, "phone": "tel"}))
        assert night(env).status == "done"


class TestTerms:
    def test_follow_the_contract_and_the_sightings(self, make_env):
        env = make_env(Describing, DESCRIBED)
        night(env)
        for row in env.world.records.values():
            del row["score"]
            row["extra"] = 1
        night(env)
        since = env.world.now
        expected = {
            "evolve": Terms(absences={"score": Absence("score", since)}),
            "discard_row": Terms(absences={"score": Absence("score", since)}, refused=("extra",)),
            "discard_value": Terms(True, absences={"score": Absence("score", since)}),
        }
        for contract, wanted in expected.items():
            env.project.connections["crm"].contract = contract
            assert terms(env.project, "crm", env.stream) == wanted
        env.project.ledger.source_fields.accept("crm")
        env.project.connections["crm"].contract = "discard_row"
        assert terms(env.project, "crm", env.stream) == Terms()


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
        return [note for shape in compare_fields(project, connector, connector.check().now) for note in shape.notes]
    finally:
        connector.close()
