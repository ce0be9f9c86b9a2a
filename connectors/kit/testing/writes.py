"""Clauses about writing: what came of each change is known, and nothing is done twice."""

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from connectors.kit.base import Outcome
from connectors.kit.base import Writing as Declaration
from connectors.kit.errors import BusyError, ConnectorError
from connectors.kit.testing.fault_injection import BROKEN, BUSY, ODD, WAIT, Fault, places
from connectors.kit.testing.harness import Bench, Spoil
from connectors.kit.testing.http_server import Server, StubRequest, StubResponse
from connectors.kit.testing.permanent_faults import REDIRECTS, foreign_addresses, own_error, sent_on
from connectors.kit.testing.samples import lists
from connectors.kit.testing.stub_system import Stand
from connectors.kit.testing.write_cases import Trial

LIMITED = [fault for fault in (*BUSY, *BROKEN) if fault.name.startswith("429")]
LOST = [
    *(fault for fault in (*BUSY, *BROKEN) if fault not in LIMITED),
    Fault("504", lambda honest: StubResponse({"error": "a gateway gave up"}, 504)),
]
Outcomes = dict[str, Outcome]


class Writing(Stand):
    """What is written is known record by record; an answer is believed as far as it goes, and no further."""

    def test_what_can_be_written_is_declared_and_tried(self) -> None:
        if not hasattr(self.connector, "write"):
            pytest.skip(f"{self.connector.__name__} writes nothing")
        name = self.connector.__name__
        with self.bench() as bench, bench.opened() as connector:
            assert isinstance(connector.writing, Declaration), f"{name}.writing is no Writing"  # type: ignore[attr-defined]
        assert self.written is not None, (
            f"{name} writes, and `written` names nothing to try; () says that it only reads"
        )
        for case in self.written:
            assert len(case.ids) > 2, f"{case.stream}: name three records at least, else nothing can be mixed up"
            assert (case.key is None) or case.new, f"{case.stream}: `key` without `new`: nothing to create"
            with self.bench() as bench, bench.opened() as connector:
                streams = {stream.name: stream for stream in (*connector.targets, *connector.streams)}
                fields = connector.writable(streams[case.stream])  # type: ignore[attr-defined]
            lacking = {*case.after, *case.new} - {name for name, field in fields.items() if field.is_writable}
            assert not lacking, f"{case.stream}: writable does not offer {', '.join(sorted(lacking))}"
            assert case.key is None or fields[case.key].is_unique, f"{case.stream}: {case.key} is not unique"

    def test_every_change_has_an_outcome_of_its_own(self, trial: Trial) -> None:
        with self.bench() as bench:
            outcomes = self._honestly(bench, trial)
            if trial.kind == "update":
                wrong = [
                    outcome.record_id for outcome, number in zip(outcomes.values(), trial.written.ids, strict=True)
                ]
                assert wrong == [*trial.written.ids], f"{trial}: outcomes name other records: {wrong}"
            else:
                created_ids = [outcome.record_id for outcome in outcomes.values()]
                assert all(created_ids), f"{trial}: an outcome does not name the new record"
                assert len({*created_ids}) == len(created_ids), f"{trial}: two new records of one id: {created_ids}"

    def test_outcomes_go_by_name_when_the_answer_comes_in_another_order(self, trial: Trial) -> None:
        with self.bench(http=True) as bench:
            honest = self._honestly(bench, trial)
            self._needs_lists(bench, trial)
            with bench.spoilt(self._on_writes(_edited(list.reverse))):
                outcomes = self._written(bench, trial)
        wrong = [op_id for op_id, outcome in outcomes.items() if outcome.record_id != honest[op_id].record_id]
        assert not wrong, f"{trial}: the answer came in another order, and {len(wrong)} records are mixed up"
        for op_id, outcome in outcomes.items():
            assert outcome.values in (None, honest[op_id].values), (
                f"{trial}: the values of {op_id} are another record's"
            )

    def test_a_record_that_the_answer_leaves_out_is_not_taken_for_written(self, trial: Trial) -> None:
        with self.bench(http=True) as bench:
            honest = self._honestly(bench, trial)
            has_records = self._needs_lists(bench, trial)
            with bench.spoilt(self._on_writes(_edited(lambda rows: rows.pop(0)))):
                outcomes = self._written(bench, trial)
        for op_id, outcome in outcomes.items():
            is_same = (outcome.status, outcome.record_id) == (honest[op_id].status, honest[op_id].record_id)
            assert is_same or outcome.status == "unknown", f"{trial}: left out of the answer, and {outcome.status}"
        unknown = [outcome for outcome in outcomes.values() if outcome.status == "unknown"]
        assert unknown or not has_records, f"{trial}: the answer leaves out a record, and it is taken for written"

    def test_one_bad_record_is_refused_alone(self, trial: Trial) -> None:
        if not trial.written.bad:
            pytest.skip(f"{trial}: no `bad` value is named")
        with self.bench() as bench:
            for bad in places(len(trial.written.ids), 4):
                outcomes = self._written(bench, trial, bad)
                statuses = [outcome.status for outcome in outcomes.values()]
                due = ["rejected" if index == bad else "applied" for index in range(len(statuses))]
                assert statuses == due, f"{trial}: with a bad record at {bad}: {statuses}"
                self.setup_method()

    def test_a_lost_answer_leaves_the_outcome_unknown_and_is_not_sent_again(self, trial: Trial) -> None:
        with self.bench(http=True) as bench:
            self._honestly(bench, trial)
            with bench.opened() as connector:
                if connector.writing.idempotent:  # type: ignore[attr-defined]
                    pytest.skip(f"{trial}: the system knows a change again, however often it is sent")
            for fault in LOST:
                with bench.spoilt(self._on_writes(fault.spoil)):
                    outcomes = self._written(bench, trial)
                sent = Counter((request.method, request.url, request.body) for request in self._writes(bench))
                assert sent.most_common(1)[0][1] == 1, f"{trial}: {fault.name}: sent again, though it may be done"
                statuses = Counter(outcome.status for outcome in outcomes.values())
                assert {*statuses} == {"unknown"}, f"{trial}: {fault.name}: {dict(statuses)}, where nobody can know"

    def test_a_write_that_was_not_taken_is_sent_again_in_time(self, trial: Trial) -> None:
        with self.bench(http=True) as bench:
            honest = self._honestly(bench, trial)
            for fault in LIMITED:
                with bench.spoilt(self._on_writes(fault.spoil, most=1)):
                    outcomes = self._written(bench, trial)
                statuses = {op_id: outcome.status for op_id, outcome in outcomes.items()}
                assert statuses == {op_id: outcome.status for op_id, outcome in honest.items()}, (
                    f"{trial}: {fault.name}: {statuses}"
                )
                sent = self._writes(bench)
                waited = round(sent[1].at - sent[0].at, 3) if len(sent) > 1 else 0
                assert waited >= WAIT or "Retry-After" not in fault.name, f"{trial}: {fault.name}: {waited:.0f} s later"

    def test_a_system_that_takes_nothing_has_nothing_written(self, trial: Trial) -> None:
        with self.bench(http=True) as bench:
            self._honestly(bench, trial)
            for fault in LIMITED:
                with bench.spoilt(self._on_writes(fault.spoil)):
                    try:
                        outcomes = self._written(bench, trial)
                    except BusyError as error:
                        bench.keeps_quiet(str(error), f"{trial}: {fault.name}")
                        continue
                statuses = {outcome.status for outcome in outcomes.values()}
                assert statuses == {"retry"}, f"{trial}: {fault.name}, for good: {', '.join(sorted(statuses))}"

    def test_a_write_is_never_sent_on_to_another_origin(self, trial: Trial) -> None:
        with self.bench(http=True) as bench, Server(self.answers) as foreign:
            self._honestly(bench, trial)
            addresses = foreign_addresses(bench.server.url, foreign)
            for index, status in enumerate(REDIRECTS):
                address = addresses[index % len(addresses)]
                with bench.spoilt(self._only_writes(sent_on(status, address, 0))):
                    try:
                        outcomes = self._written(bench, trial)
                    except ConnectorError as error:
                        bench.keeps_quiet(str(error), f"{trial}: redirected to {address}")
                        outcomes = {}
                assert not foreign.connections, f"{trial}: a write follows a redirect to {address}"
                assert "applied" not in {outcome.status for outcome in outcomes.values()}, (
                    f"{trial}: {status} is taken for done"
                )

    def test_whatever_a_write_is_told_it_raises_no_error_but_its_own(self, trial: Trial) -> None:
        with self.bench(http=True) as bench:
            self._honestly(bench, trial)
            for fault in ODD:
                with bench.spoilt(self._on_writes(fault.spoil)):
                    own_error(bench, lambda: self._written(bench, trial), f"{trial}: {fault.name}")

    def test_what_is_created_twice_by_its_key_is_one_record(self, trial: Trial) -> None:
        if trial.kind != "create" or trial.written.key is None:
            pytest.skip(f"{trial}: there is no unique key")
        with self.bench() as bench:
            first, again = self._honestly(bench, trial), self._honestly(bench, trial)
        for op_id, outcome in again.items():
            expected = first[op_id].record_id
            assert outcome.record_id == expected, f"{trial}: created twice, {expected} and {outcome.record_id}"

    def is_write(self, request: StubRequest) -> bool:
        """Tell whether a request changes something: by its method, or because the connector says so."""
        return request.writes or request.method in ("PUT", "PATCH", "DELETE")

    def _honestly(self, bench: Bench, trial: Trial) -> Outcomes:
        """Write with nothing wrong: all is applied, by requests that say that they write."""
        outcomes = self._written(bench, trial)
        wrong = {
            op_id: f"{outcome.status}: {outcome.message}"
            for op_id, outcome in outcomes.items()
            if outcome.status != "applied"
        }
        assert not wrong, f"{trial}: undisturbed, {wrong}"
        http = self._writes(bench) or not bench.server.count
        assert http, f"{trial}: no request says writes=True: the kit would repeat it when its answer is lost"
        return outcomes

    def _written(self, bench: Bench, trial: Trial, bad: int | None = None) -> Outcomes:
        changes = trial.changes(bad)
        outcomes = bench.write(trial, changes)
        due, came = Counter(outcome.op_id for outcome in changes), Counter(outcome.op_id for outcome in outcomes)
        assert came == due, f"{trial}: {len(changes)} changes, and outcomes for {sorted(came.elements())}"
        by_op = {outcome.op_id: outcome for outcome in outcomes}
        return {change.op_id: by_op[change.op_id] for change in changes}

    def _writes(self, bench: Bench) -> list[StubRequest]:
        return [request for request, _ in bench.server.log if self.is_write(request)]

    def _needs_lists(self, bench: Bench, trial: Trial) -> bool:
        """Tell whether answers list records; a clause about lists is skipped where there are none."""
        responses = [response for request, response in bench.server.log if self.is_write(request)]
        lists_of_rows = [rows for each in responses for rows in lists(_json(each)) if len(rows) > 1]
        if not lists_of_rows:
            pytest.skip(f"{trial}: the answers to writes list nothing")
        return all(isinstance(row, dict) for rows in lists_of_rows for row in rows)

    def _on_writes(self, spoil: Callable[[StubResponse], StubResponse], most: int | None = None) -> Spoil:
        """Spoil the answers to writes and no others; the first so many, or all."""
        remaining = [sys.maxsize if most is None else most]

        def spoilt(request: StubRequest, response: StubResponse) -> StubResponse:
            if not self.is_write(request) or not remaining[0]:
                return response
            remaining[0] -= 1
            return spoil(response)

        return spoilt

    def _only_writes(self, spoil: Spoil) -> Spoil:
        return lambda request, response: spoil(request, response) if self.is_write(request) else response


def _edited(edit: Callable[[list[Any]], Any]) -> Callable[[StubResponse], StubResponse]:
    """Edit the outermost list that has two entries or more."""

    def edited(response: StubResponse) -> StubResponse:
        body = _json(response)
        rows = next((candidate for candidate in lists(body) if len(candidate) > 1), None)
        if rows is None:
            return response
        edit(rows)
        return replace(response, body=body)

    return edited


def _json(response: StubResponse) -> Any:
    try:
        return msgspec.json.decode(response.raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
