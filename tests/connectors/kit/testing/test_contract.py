"""The contract itself: an honest connector keeps it, and each clause finds the connector that breaks it."""

from importlib import import_module
from importlib.metadata import entry_points
from inspect import signature
from pathlib import Path

import pytest

from connectors.kit.registry import installed_connectors
from connectors.kit.testing.contract import Contract, StubResponse
from connectors.kit.testing.fault_injection import EXPIRED
from connectors.kit.testing.harness import Way
from connectors.kit.testing.stub_system import clauses
from connectors.kit.testing.write_cases import Trial
from tests.connectors.kit.testing import shelf
from tests.test_house_rules import FILES, imported

CONNECTORS = Path(__file__).parents[2]
NEEDS_PYTEST = ("pytest", "connectors.kit.testing")
BROKEN = [
    ("test_settings_load_and_unknown_ones_are_refused_with_the_choices", "TakesAnySetting", "unknown setting is taken"),
    ("test_secrets_are_declared_as_such_and_show_nowhere", "KeepsASecretAsText", "declare a secret as SecretStr"),
    ("test_secrets_are_declared_as_such_and_show_nowhere", "HoldsASecretOpenly", "shows a secret"),
    ("test_a_wrong_secret_is_refused_without_showing_it", "ChecksWithoutAsking", "ended as if all were well"),
    ("test_a_wrong_secret_is_refused_without_showing_it", "ShowsTheSecret", "shows a secret"),
    ("test_streams_are_declared_soundly", "SweepsWithoutKeys", "needs the method `keys`"),
    ("test_streams_are_declared_soundly", "LooksBackWithoutCursor", "without a cursor"),
    ("test_fields_feed_known_columns_and_all_that_a_row_must_have", "FeedsUnknownColumns", "has no column colour"),
    ("test_fields_feed_known_columns_and_all_that_a_row_must_have", "FeedsNoName", "nothing feeds .'name'"),
    ("test_a_check_tells_the_account_and_the_clock_of_the_source", "TellsItsOwnTime", "off the source's"),
    ("test_discovers_fields_of_streams_that_it_has", "DiscoversTooMuch", "unknown streams: .'invoices'"),
    ("test_reads_everything_once", "DropsRows", "3 records are lost"),
    ("test_pages_say_where_to_go_on_and_the_last_one_that_it_is_the_last", "NeverEnds", "does not say that it is"),
    (
        "test_pages_say_where_to_go_on_and_the_last_one_that_it_is_the_last",
        "KeepsAPlaceThatIsNoJson",
        "does not survive JSON",
    ),
    ("test_goes_on_after_any_page", "StartsAnew", "records are read again"),
    ("test_goes_on_after_any_page", "RunsAhead", "records are lost"),
    (
        "test_a_crash_at_any_request_loses_nothing_and_no_landed_page_is_read_again",
        "SavesBeforeItHolds",
        "records are lost",
    ),
    ("test_a_sweep_lists_every_key_once", "SweepsOnePage", "5 records are lost"),
    ("test_counts_what_it_reads", "MissCounts", "counts 8 records, there are 7"),
    ("test_pages_have_the_common_columns_and_the_clock_of_the_source", "TellsItsOwnTime", "off the source's clock"),
    ("test_tombstones_are_marked_as_such", "ForgetsThatTheyAreDeleted", "2 deleted records are no tombstones"),
    ("test_broken_records_land_without_a_key", "DropsWhatHasNoId", "did not land, so nobody can name it"),
    ("test_an_honest_empty_answer_is_an_end_without_records", "YieldsNoEmptyPage", "no page from an empty answer"),
    ("test_equal_timestamps_are_all_read_once", "PagesByTime", "records are lost"),
    ("test_reading_changes_nothing_at_the_source", "MarksWhatItRead", "asks with writes=True: post me"),
    ("test_reading_changes_nothing_at_the_source", "CleansUp", "reading sends DELETE"),
    ("test_a_busy_source_is_asked_again_and_never_too_early", "GoesItsOwnWay", "requests before the time asked for"),
    ("test_a_passing_fault_changes_nothing_of_what_is_read", "TriesOnce", "raised ReplyError.*, though it passes"),
    ("test_an_expired_token_is_fetched_anew_or_told_but_never_an_end", "SwallowsErrors", "an early end"),
    ("test_an_expired_token_is_fetched_anew_or_told_but_never_an_end", "TakesAllForBusy", "no AccessError"),
    ("test_a_fault_that_stays_is_an_error_and_no_end", "SwallowsErrors", "ended as if all were well"),
    ("test_an_answer_of_another_kind_is_an_error_and_no_end", "TakesNoListForEmpty", "ended as if all were well"),
    ("test_whatever_it_is_told_it_raises_no_error_but_its_own", "TrustsTheAnswer", "which is no ConnectorError"),
    ("test_check_and_discover_end_in_an_error_of_their_own", "TrustsTheAnswer", "which is no ConnectorError"),
    ("test_a_link_to_another_origin_is_not_followed", "GoesItsOwnWay", "follows a link to"),
    ("test_a_redirect_to_another_origin_is_not_followed", "GoesItsOwnWay", "redirect"),
    ("test_an_answer_without_end_or_measure_is_broken_off", "GoesItsOwnWay", "an answer that drips for ever: ended"),
    ("test_a_page_that_comes_twice_loses_nothing", "StopsAtTheCount", "a page came twice, and records are lost"),
    ("test_paging_that_makes_no_progress_is_an_error", "PagesWithoutLooking", "there is no end to it"),
    ("test_paging_that_goes_round_is_an_error", "LooksOneStepBack", "there is no end to it"),
    ("test_a_record_that_vanishes_while_paging_hides_no_other", "PagesByOffset", r"others are lost: \['3'\]"),
    ("test_a_record_that_moves_while_paging_is_not_lost", "PagesByOffset", r"others are lost: \['7'\]"),
    ("test_what_can_be_written_is_declared_and_tried", "DeclaresNoWriting", "writing is no Writing"),
    ("test_every_change_has_an_outcome_of_its_own", "LeavesOutcomesOut", "4 changes, and outcomes for"),
    ("test_every_change_has_an_outcome_of_its_own", "WritesAsIfItRead", "no request says writes=True"),
    (
        "test_outcomes_go_by_name_when_the_answer_comes_in_another_order",
        "MatchesByPosition",
        "2 records are mixed up",
    ),
    (
        "test_a_record_that_the_answer_leaves_out_is_not_taken_for_written",
        "TakesYesForAll",
        "it is taken for written",
    ),
    ("test_one_bad_record_is_refused_alone", "RefusesAll", "with a bad record at 0: .'rejected', 'rejected'"),
    ("test_a_lost_answer_leaves_the_outcome_unknown_and_is_not_sent_again", "PutsItTwice", "sent again"),
    ("test_a_write_that_was_not_taken_is_sent_again_in_time", "WritesInItsOwnWay", "429 with Retry-After"),
    ("test_a_system_that_takes_nothing_has_nothing_written", "TakesBusyForUnknown", "for good: unknown"),
    ("test_a_write_is_never_sent_on_to_another_origin", "WritesInItsOwnWay", "follows a redirect to"),
    ("test_whatever_a_write_is_told_it_raises_no_error_but_its_own", "BelievesTheAnswer", "which is no ConnectorError"),
    ("test_what_is_created_twice_by_its_key_is_one_record", "CreatesBlindly", "created twice, 10"),
]
WAYS = {
    "read": Way("accounts"),
    "way": Way("accounts"),
    "sweep": Way("accounts", "keys"),
    "deletes": Way("contacts", "deletes"),
    "trial": Trial(shelf.Shelf.written[0]),
}


class TestHonest(shelf.Shelf):
    """Every clause, kept."""


class TestRefreshing(shelf.Shelf):
    """Every clause, kept by one whose tokens are fetched anew; so an expired one is no error."""

    connector = shelf.Refreshing

    def lets_in(self, asked):
        return super().lets_in(asked) if asked.path == "/token" else asked.headers["Authorization"] == "Bearer t0ken"

    def answers(self, asked):
        return StubResponse({"access_token": "t0ken"}) if asked.path == "/token" else super().answers(asked)

    def test_an_expired_token_is_no_error(self, way):
        with self.bench() as bench:
            whole = bench.taken(way)
            with bench.spoilt(EXPIRED.at(1)):
                assert bench.taken(way) == whole
                assert [asked.path for asked, _ in bench.server.log].count("/token") == 2


@pytest.mark.parametrize(("clause", "broken", "said"), BROKEN, ids=lambda value: value)
def test_a_clause_finds_who_breaks_it(monkeypatch, clause, broken, said):
    monkeypatch.setattr("connectors.kit.testing.http_server.PATIENCE", 0.05)
    twin = type(broken, (shelf.Shelf,), {"connector": getattr(shelf, broken)})()
    twin.setup_method()
    ways = WAYS | ({"trial": Trial(shelf.Shelf.written[0], "create")} if "created" in clause else {})
    asked = [ways[argument] for argument in signature(getattr(twin, clause)).parameters]
    with pytest.raises(AssertionError, match=said):
        getattr(twin, clause)(*asked)


def test_a_connector_that_writes_must_say_what_to_try():
    twin = type("Twin", (shelf.Shelf,), {"written": None})()
    twin.setup_method()
    with pytest.raises(AssertionError, match="Honest writes, and `written` names nothing to try"):
        twin.test_what_can_be_written_is_declared_and_tried()


def test_every_clause_is_known_to_find_somebody():
    assert {clause for clause, _, _ in BROKEN} == set(clauses(Contract))


def test_every_connector_of_this_house_keeps_the_contract():
    others = {point.name for point in entry_points(group="belvedere.connectors")}
    tried = {path.parent.name for path in CONNECTORS.glob("*/test_contract.py")}
    assert tried == set(installed_connectors()) - others
    for one in tried:
        module = import_module(f"tests.connectors.{one}.test_contract")
        twins = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Contract)]
        assert any(kind.__module__ == module.__name__ for kind in twins)


def test_a_clause_that_is_waived_must_be_one():
    with pytest.raises(TypeError, match="did you mean test_reads_everything_once"):
        type("Twin", (Contract,), {"waived": {"test_reads_everything_onec": "a slip of the pen"}})


def test_a_clause_that_is_waived_fails_when_it_is_kept_after_all():
    kind = type("Twin", (shelf.Shelf,), {"waived": {"test_reads_everything_once": "it does not, we think"}})
    (mark,) = kind.test_reads_everything_once.pytestmark
    assert (mark.name, mark.kwargs) == ("xfail", {"reason": "it does not, we think", "strict": True})
    assert not hasattr(shelf.Shelf.test_reads_everything_once, "pytestmark")


def test_samples_that_lack_a_page_are_told():
    twin = type("Twin", (shelf.Shelf,), {"answers": Contract.answers})()
    twin.setup_method()
    with pytest.raises(AssertionError, match=r"undisturbed, it raised .*; unanswered: \['GET /accounts'\]"):
        twin.test_reads_everything_once(Way("accounts"))


def test_a_stand_in_that_fails_says_so_itself():
    twin = type("Twin", (shelf.Shelf,), {"answers": lambda self, asked: asked.no_such_thing})()
    twin.setup_method()
    with pytest.raises(AttributeError, match="no_such_thing"):
        twin.test_reads_everything_once(Way("accounts"))


def test_nothing_that_runs_needs_the_contract_or_pytest():
    kit = {path for path in FILES if path.parent.name == "testing"}
    for path in set(FILES) - kit:
        assert not any(module.startswith(NEEDS_PYTEST) for module in imported(path)), path
