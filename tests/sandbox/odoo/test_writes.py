"""Odoo's writes: external ids, activities, values as Odoo holds them, transactions that hold together."""

import pytest

KEY = "__belvedere__.customer_1"
FIELDS = ["id", "name", "country_id/id", "credit_limit", "active"]
ROW = [KEY, "Acme", "base.de", "1500.5", "True"]


def activity(odoo, **more) -> dict:
    (model,) = odoo("ir.model", "search", [["model", "=", "res.partner"]])
    (todo,) = odoo("mail.activity.type", "search", [["name", "=", "To-Do"]])
    return {"res_model_id": model, "res_id": 1, "activity_type_id": todo, "summary": "Call", "user_id": 1, **more}


class TestLoad:
    def test_creates_once_then_updates(self, sandbox, odoo):
        first = odoo("res.partner", "load", FIELDS, [ROW])
        assert first["messages"] == []
        second = odoo("res.partner", "load", FIELDS, [[KEY, "Acme Ltd", "base.de", "1500.5", "True"]])
        assert first["ids"] == second["ids"]
        (row,) = odoo("res.partner", "read", first["ids"], ["name", "country_id", "credit_limit", "active"])
        assert (row["name"], row["country_id"][1], row["credit_limit"]) == ("Acme Ltd", "Germany", 1500.5)
        assert [(write["action"], write["key"]) for write in sandbox.writes] == [("create", KEY), ("write", KEY)]
        assert sandbox.writes[1]["after"] == {"name": "Acme Ltd"}

    def test_the_external_id_can_be_asked_for(self, odoo):
        (number,) = odoo("res.partner", "load", FIELDS, [ROW])["ids"]
        asked = [["module", "=", "__belvedere__"], ["name", "in", ["customer_1", "customer_2"]]]
        (found,) = odoo("ir.model.data", "search_read", asked, ["model", "res_id"])
        assert (found["model"], found["res_id"]) == ("res.partner", number)

    def test_a_name_without_a_module_is_an_import(self, odoo):
        odoo("res.partner", "load", ["id", "name"], [["acme", "Acme"]])
        assert odoo("ir.model.data", "search_count", [["module", "=", "__import__"], ["name", "=", "acme"]]) == 1

    @pytest.mark.parametrize(
        ("row", "field"),
        [
            ([KEY, "Acme", "base.atlantis", "1", "True"], "country_id"),
            ([KEY, "Acme", "base.de", "much", "True"], "credit_limit"),
            ([KEY, "Acme", "base.de", "1", "maybe"], "active"),
            ([KEY, "", "base.de", "1", "True"], ""),
            (["base.de", "Acme", "base.de", "1", "True"], "id"),
        ],
    )
    def test_one_wrong_row_and_nothing_is_stored(self, sandbox, odoo, row, field):
        answer = odoo("res.partner", "load", FIELDS, [["__belvedere__.good", "Good", "", "", "True"], row])
        assert answer["ids"] is False
        *of_all, message = answer["messages"]
        assert (message["type"], message["record"], message.get("field", "")) == ("error", 1, field)
        assert [one["record"] for one in of_all] == ([] if field else [0])
        assert message["rows"] == {"from": 1, "to": 1}
        assert sandbox.writes == []

    def test_an_unknown_column_is_an_error(self, odoo):
        assert odoo("res.partner", "load", ["id", "nonsense"], [[KEY, "x"]]) == "builtins.ValueError"

    def test_two_rows_of_one_key_are_one_record(self, odoo):
        ids = odoo("res.partner", "load", ["id", "name"], [[KEY, "Acme"], [KEY, "Acme Ltd"]])["ids"]
        assert ids[0] == ids[1]

    def test_a_key_whose_record_is_gone_makes_a_new_one(self, sandbox, odoo):
        (first,) = odoo("res.partner", "load", ["id", "name"], [[KEY, "Acme"]])["ids"]
        sandbox.delete("odoo", "res.partner", first)
        assert odoo("ir.model.data", "search_count", [["module", "=", "__belvedere__"]]) == 0
        (second,) = odoo("res.partner", "load", ["id", "name"], [[KEY, "Acme"]])["ids"]
        assert second > first

    def test_an_archived_record_keeps_its_key(self, sandbox, odoo):
        (first,) = odoo("res.partner", "load", ["id", "name"], [[KEY, "Acme"]])["ids"]
        sandbox.edit("odoo", "res.partner", first, {"active": False})
        assert odoo("res.partner", "load", ["id", "name"], [[KEY, "Acme"]])["ids"] == [first]

    def test_records_are_named_by_their_own_ids_too(self, sandbox, odoo):
        assert odoo("res.partner", "load", [".id", "user_id/.id", "city"], [["1", "2", "Ulm"]])["ids"] == [1]
        row = sandbox.odoo.tables["res.partner"][1]
        assert (row["city"], row["user_id"]) == ("Ulm", 2)

    def test_relations_are_named_by_name(self, sandbox, odoo):
        odoo("res.partner", "load", [".id", "country_id"], [["1", "Austria"]])
        assert sandbox.odoo.tables["res.country"][sandbox.odoo.tables["res.partner"][1]["country_id"]]["code"] == "AT"

    def test_an_external_id_is_there_once(self, odoo):
        one = {"module": "__belvedere__", "name": "a", "model": "res.partner", "res_id": 1}
        answers = [odoo("ir.model.data", "create", one) for _ in range(2)]
        assert answers[1] == "odoo.exceptions.ValidationError"


class TestActivities:
    def test_an_activity_is_made_changed_and_done(self, sandbox, odoo):
        number = odoo("mail.activity", "create", activity(odoo, note="Call them"))
        (row,) = odoo("mail.activity", "read", [number], ["res_model", "res_id", "note", "date_deadline", "active"])
        assert (row["res_model"], row["res_id"], row["note"]) == ("res.partner", 1, "<p>Call them</p>")
        assert (row["date_deadline"], row["active"]) == ("2026-10-20", True)
        assert odoo("mail.activity", "write", [number], {"date_deadline": "2026-11-01"}) is True
        assert odoo("mail.activity", "action_feedback", [number], feedback="No longer due") > 0
        assert odoo("mail.activity", "search", [["id", "=", number]], context={"active_test": False}) == []
        assert [write["action"] for write in sandbox.writes] == ["create", "write", "done"]
        assert odoo("mail.activity", "fields_get", ["note"])["note"]["type"] == "html"

    def test_later_versions_keep_what_is_done(self, sandbox, odoo):
        sandbox.odoo.keeps_done = True
        number = odoo("mail.activity", "create", activity(odoo))
        odoo("mail.activity", "action_feedback", [number])
        asked = [["id", "=", number]]
        assert odoo("mail.activity", "search", asked) == []
        assert odoo("mail.activity", "search", asked, context={"active_test": False}) == [number]

    def test_what_is_done_cannot_be_done_again(self, odoo):
        number = odoo("mail.activity", "create", activity(odoo))
        answers = [odoo("mail.activity", "action_feedback", [number]) for _ in range(2)]
        assert answers[1] == "odoo.exceptions.MissingError"

    def test_an_activity_is_loaded_by_its_key(self, sandbox, odoo):
        fields = ["id", "res_model_id/id", "res_id", "activity_type_id/id", "summary", "user_id/.id", "date_deadline"]
        key = "__belvedere__.reminder_1"
        row = [key, "base.model_res_partner", "1", "mail.mail_activity_data_todo", "Call", "1", "2026-11-01"]
        ids = [odoo("mail.activity", "load", fields, [row])["ids"] for _ in range(2)]
        assert ids[0] == ids[1]
        assert len(sandbox.log.created("odoo", "mail.activity")) == 1

    @pytest.mark.parametrize("lacking", ["res_model_id", "res_id"])
    def test_an_activity_belongs_to_a_record(self, odoo, lacking):
        given = {name: value for name, value in activity(odoo).items() if name != lacking}
        assert odoo("mail.activity", "create", given) == "odoo.exceptions.ValidationError"

    def test_activities_go_with_their_record(self, sandbox, odoo):
        partner = odoo("res.partner", "create", {"name": "Brief"})
        number = odoo("mail.activity", "create", activity(odoo, res_id=partner))
        sandbox.delete("odoo", "res.partner", partner)
        assert odoo("mail.activity", "search", [["id", "=", number]]) == []

    def test_only_an_activity_is_done(self, odoo):
        assert odoo("res.partner", "action_feedback", [1]) == "builtins.AttributeError"


class TestValues:
    @pytest.mark.parametrize(
        ("name", "given", "held"),
        [
            ("vat", "de 123-456", "DE123456"),
            ("website", "acme.com", "http://acme.com"),
            ("website", "https://acme.com", "https://acme.com"),
            ("phone", "+49 30 1", "+49 30 1"),
            ("credit_limit", 5, 5),
            ("street", None, False),
        ],
    )
    def test_values_are_held_in_odoos_own_way(self, sandbox, odoo, name, given, held):
        assert odoo("res.partner", "write", [1], {name: given}) is True
        assert sandbox.odoo.tables["res.partner"][1][name] == held

    @pytest.mark.parametrize(
        ("values", "error"),
        [
            ({"country_id": 999}, "odoo.exceptions.MissingError"),
            ({"credit_limit": True}, "builtins.ValueError"),
            ({"name": ""}, "odoo.exceptions.ValidationError"),
        ],
    )
    def test_a_wrong_value_is_refused(self, sandbox, odoo, values, error):
        assert odoo("res.partner", "write", [1], values) == error
        assert odoo("res.partner", "create", [{"name": "Good"}, {"name": "B", **values}]) == error
        assert sandbox.writes == []

    def test_a_day_must_be_one(self, odoo):
        number = odoo("mail.activity", "create", activity(odoo))
        assert odoo("mail.activity", "write", [number], {"date_deadline": "20.10.2026"}) == "builtins.ValueError"

    def test_a_new_company_is_its_own_commercial_partner(self, odoo):
        number = odoo("res.partner", "create", {"name": "Acme", "is_company": True})
        person = odoo("res.partner", "create", {"name": "Ada", "parent_id": number})
        rows = odoo("res.partner", "read", [number, person], ["commercial_partner_id", "customer_rank"])
        assert [row["commercial_partner_id"][0] for row in rows] == [number, number]
        assert rows[0]["customer_rank"] == 0


class TestMishaps:
    @pytest.mark.parametrize(
        ("method", "args"),
        [("create", [[{"name": "A"}, {"name": "B"}]]), ("write", [[1, 2], {"city": "Ulm"}]), ("unlink", [[1, 2]])],
    )
    def test_one_bad_row_undoes_the_call(self, sandbox, odoo, method, args):
        sandbox.faults.add(f"/odoo/jsonrpc/res.partner/{method}", "partial", record=1)
        refused = "odoo.exceptions.UserError" if method == "unlink" else "odoo.exceptions.ValidationError"
        assert odoo("res.partner", method, *args) == refused
        assert sandbox.writes == []

    def test_one_bad_row_of_a_load_is_named(self, sandbox, odoo):
        sandbox.faults.add("/odoo/jsonrpc/res.partner/load", "partial", record=1)
        answer = odoo("res.partner", "load", ["id", "name"], [["a", "A"], ["b", "B"], ["c", "C"]])
        assert (answer["ids"], [message["record"] for message in answer["messages"]]) == (False, [0, 1])

    @pytest.mark.parametrize(("bad", "named"), [([1, 3], [0, 1, 3]), ([0], [0]), ([0, 2], [0, 2]), ([], [])])
    def test_the_error_of_all_rows_stands_first_under_the_first_row(self, sandbox, odoo, bad, named):
        rows = [[f"r{place}", f"N{place}", "bad" if place in bad else "DE811907980"] for place in range(4)]
        answer = odoo("res.partner", "load", ["id", "name", "vat"], rows)
        assert [message["rows"]["from"] for message in answer["messages"]] == named
        assert bool(answer["ids"]) == (not bad)

    def test_a_success_may_have_written_nothing(self, sandbox, odoo):
        number = odoo("mail.activity", "create", activity(odoo))
        before = len(sandbox.odoo.tables["res.partner"])
        sandbox.faults.add("/odoo", "silent", writes=True)
        assert odoo("res.partner", "write", [1], {"city": "Nowhere"}) is True
        assert odoo("res.partner", "create", {"name": "Nobody"}) > before
        assert len(odoo("res.partner", "load", ["id", "name"], [["a", "A"]])["ids"]) == 1
        assert odoo("mail.activity", "action_feedback", [number]) > 0
        assert odoo("res.partner", "unlink", [before]) in (True, "odoo.exceptions.UserError")
        assert len(sandbox.odoo.tables["res.partner"]) == before
        assert sandbox.odoo.tables["res.partner"][1]["city"] != "Nowhere"
        assert len(sandbox.writes) == 1
