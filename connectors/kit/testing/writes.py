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
from connectors.kit.testing.http_server import Asked, Server, Told
from connectors.kit.testing.permanent_faults import REDIRECTS, foreign_addresses, own_error, sent_on
from connectors.kit.testing.samples import lists
from connectors.kit.testing.stub_system import Stand
from connectors.kit.testing.write_cases import Trial

LIMITED = [fault for fault in (*BUSY, *BROKEN) if fault.name.startswith("429")]
LOST = [
    *(fault for fault in (*BUSY, *BROKEN) if fault not in LIMITED),
    Fault("504", lambda honest: Told({"error": "a gateway gave up"}, 504)),
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
        for one in self.written:
            assert len(one.ids) > 2, f"{one.stream}: name three records at least, else nothing can be mixed up"
            assert (one.key is None) or one.new, f"{one.stream}: `key` without `new`: nothing to create"
            with self.bench() as bench, bench.opened() as connector:
                known = {stream.name: stream for stream in (*connector.targets, *connector.streams)}
                fields = connector.writable(known[one.stream])  # type: ignore[attr-defined]
            lacking = {*one.after, *one.new} - {name for name, held in fields.items() if held.is_writable}
            assert not lacking, f"{one.stream}: writable does not offer {', '.join(sorted(lacking))}"
            assert one.key is None or fields[one.key].is_unique, f"{one.stream}: {one.key} is not unique"

    def test_every_change_has_an_outcome_of_its_own(self, trial: Trial) -> None:
        with self.bench() as bench:
            told = self._honestly(bench, trial)
            if trial.kind == "update":
                wrong = [one.record_id for one, number in zip(told.values(), trial.written.ids, strict=True)]
                assert wrong == [*trial.written.ids], f"{trial}: outcomes name other records: {wrong}"
            else:
                made = [one.record_id for one in told.values()]
                assert all(made), f"{trial}: an outcome does not name the new record"
                assert len({*made}) == len(made), f"{trial}: two new records of one id: {made}"

    def test_outcomes_go_by_name_when_the_answer_comes_in_another_order(self, trial: Trial) -> None:
        with self.bench(http=True) as bench:
            honest = self._honestly(bench, trial)
            self._needs_lists(bench, trial)
            with bench.spoilt(self._on_writes(_edited(list.reverse))):
                told = self._written(bench, trial)
        wrong = [op_id for op_id, one in told.items() if one.record_id != honest[op_id].record_id]
        assert not wrong, f"{trial}: the answer came in another order, and {len(wrong)} records are mixed up"
        for op_id, one in told.items():
            assert one.values in (None, honest[op_id].values), f"{trial}: the values of {op_id} are another record's"

    def test_a_record_that_the_answer_leaves_out_is_not_taken_for_written(self, trial: Trial) -> None:
        with self.bench(http=True) as bench:
            honest = self._honestly(bench, trial)
            has_records = self._needs_lists(bench, trial)
            with bench.spoilt(self._on_writes(_edited(lambda found: found.pop(0)))):
                told = self._written(bench, trial)
        for op_id, one in told.items():
            is_same = (one.status, one.record_id) == (honest[op_id].status, honest[op_id].record_id)
            assert is_same or one.status == "unknown", f"{trial}: left out of the answer, and {one.status}"
        unknown = [one for one in told.values() if one.status == "unknown"]
        assert unknown or not has_records, f"{trial}: the answer leaves out a record, and it is taken for written"

    def test_one_bad_record_is_refused_alone(self, trial: Trial) -> None:
        if not trial.written.bad:
            pytest.skip(f"{trial}: no `bad` value is named")
        with self.bench() as bench:
            for bad in places(len(trial.written.ids), 4):
                told = self._written(bench, trial, bad)
                found = [one.status for one in told.values()]
                due = ["rejected" if place == bad else "applied" for place in range(len(found))]
                assert found == due, f"{trial}: with a bad record at {bad}: {found}"
                self.setup_method()

    def test_a_lost_answer_leaves_the_outcome_unknown_and_is_not_sent_again(self, trial: Trial) -> None:
        with self.bench(http=True) as bench:
            self._honestly(bench, trial)
            with bench.opened() as connector:
                if connector.writing.idempotent:  # type: ignore[attr-defined]
                    pytest.skip(f"{trial}: the system knows a change again, however often it is sent")
            for fault in LOST:
                with bench.spoilt(self._on_writes(fault.spoil)):
                    told = self._written(bench, trial)
                sent = Counter((asked.method, asked.url, asked.body) for asked in self._writes(bench))
                assert sent.most_common(1)[0][1] == 1, f"{trial}: {fault.name}: sent again, though it may be done"
                found = Counter(one.status for one in told.values())
                assert {*found} == {"unknown"}, f"{trial}: {fault.name}: {dict(found)}, where nobody can know"

    def test_a_write_that_was_not_taken_is_sent_again_in_time(self, trial: Trial) -> None:
        with self.bench(http=True) as bench:
            honest = self._honestly(bench, trial)
            for fault in LIMITED:
                with bench.spoilt(self._on_writes(fault.spoil, most=1)):
                    told = self._written(bench, trial)
                statuses = {op_id: one.status for op_id, one in told.items()}
                assert statuses == {op_id: one.status for op_id, one in honest.items()}, (
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
                        told = self._written(bench, trial)
                    except BusyError as error:
                        bench.keeps_quiet(str(error), f"{trial}: {fault.name}")
                        continue
                found = {one.status for one in told.values()}
                assert found == {"retry"}, f"{trial}: {fault.name}, for good: {', '.join(sorted(found))}"

    def test_a_write_is_never_sent_on_to_another_origin(self, trial: Trial) -> None:
        with self.bench(http=True) as bench, Server(self.answers) as foreign:
            self._honestly(bench, trial)
            addresses = foreign_addresses(bench.server.url, foreign)
            for place, status in enumerate(REDIRECTS):
                address = addresses[place % len(addresses)]
                with bench.spoilt(self._only_writes(sent_on(status, address, 0))):
                    try:
                        told = self._written(bench, trial)
                    except ConnectorError as error:
                        bench.keeps_quiet(str(error), f"{trial}: redirected to {address}")
                        told = {}
                assert not foreign.connections, f"{trial}: a write follows a redirect to {address}"
                assert "applied" not in {one.status for one in told.values()}, f"{trial}: {status} is taken for done"

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
        for op_id, one in again.items():
            known = first[op_id].record_id
            assert one.record_id == known, f"{trial}: created twice, {known} and {one.record_id}"

    def is_write(self, asked: Asked) -> bool:
        """Tell whether a request changes something: by its method, or because the connector says so."""
        return asked.writes or asked.method in ("PUT", "PATCH", "DELETE")

    def _honestly(self, bench: Bench, trial: Trial) -> Outcomes:
        """Write with nothing wrong: all is applied, by requests that say that they write."""
        told = self._written(bench, trial)
        wrong = {op_id: f"{one.status}: {one.message}" for op_id, one in told.items() if one.status != "applied"}
        assert not wrong, f"{trial}: undisturbed, {wrong}"
        http = self._writes(bench) or not bench.server.count
        assert http, f"{trial}: no request says writes=True: the kit would repeat it when its answer is lost"
        return told

    def _written(self, bench: Bench, trial: Trial, bad: int | None = None) -> Outcomes:
        changes = trial.changes(bad)
        told = bench.write(trial, changes)
        due, came = Counter(one.op_id for one in changes), Counter(one.op_id for one in told)
        assert came == due, f"{trial}: {len(changes)} changes, and outcomes for {sorted(came.elements())}"
        by_op = {one.op_id: one for one in told}
        return {change.op_id: by_op[change.op_id] for change in changes}

    def _writes(self, bench: Bench) -> list[Asked]:
        return [asked for asked, _ in bench.server.log if self.is_write(asked)]

    def _needs_lists(self, bench: Bench, trial: Trial) -> bool:
        """Tell whether answers list records; a clause about lists is skipped where there are none."""
        told = [told for asked, told in bench.server.log if self.is_write(asked)]
        found = [some for one in told for some in lists(_json(one)) if len(some) > 1]
        if not found:
            pytest.skip(f"{trial}: the answers to writes list nothing")
        return all(isinstance(row, dict) for some in found for row in some)

    def _on_writes(self, spoil: Callable[[Told], Told], most: int | None = None) -> Spoil:
        """Spoil the answers to writes and no others; the first so many, or all."""
        left = [sys.maxsize if most is None else most]

        def spoilt(asked: Asked, told: Told) -> Told:
            if not self.is_write(asked) or not left[0]:
                return told
            left[0] -= 1
            return spoil(told)

        return spoilt

    def _only_writes(self, spoil: Spoil) -> Spoil:
        return lambda asked, told: spoil(asked, told) if self.is_write(asked) else told


def _edited(edit: Callable[[list[Any]], Any]) -> Callable[[Told], Told]:
    """Edit the outermost list that has two entries or more."""

    def edited(told: Told) -> Told:
        body = _json(told)
        found = next((some for some in lists(body) if len(some) > 1), None)
        if found is None:
            return told
        edit(found)
        return replace(told, body=body)

    return edited


def _json(told: Told) -> Any:
    try:
        return msgspec.json.decode(told.raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
