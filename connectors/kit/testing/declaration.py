"""Clauses about what a connector declares, and how it introduces itself."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.kit.base import Check, Connector
from connectors.kit.errors import AccessError, SettingsError
from connectors.kit.settings import load
from connectors.kit.stream import Stream
from connectors.kit.testing.clock import TIME
from connectors.kit.testing.harness import NAME, is_http
from connectors.kit.testing.stub_system import WRONG, Stand
from schemas.find import model, tables
from schemas.mapping import paths

SECRET = re.compile(r"(^|_)(token|secret|password|passphrase|api_?key|private_key)$")
NEVER = timedelta(0)


class DeclarationTests(Stand):
    """What a connector says of itself is true."""

    def test_settings_load_and_unknown_ones_are_refused_with_the_choices(self) -> None:
        load(self.connector, NAME, self._complete("http://127.0.0.1:1"))
        message = "an unknown setting is taken: subclass ConnectorSettings, which forbids it"
        try:
            load(self.connector, NAME, {**self._complete("http://127.0.0.1:1"), "sett1ng": 1})
        except SettingsError as error:
            message = str(error)
        assert re.search("choices|did you mean", message), f"no choices are named: {message}"

    def test_secrets_are_declared_as_such_and_show_nowhere(self) -> None:
        plain = [name for name, field in self.connector.Settings.model_fields.items() if _is_plain(name, field)]
        assert not plain, f"{', '.join(plain)}: declare a secret as SecretStr, else it shows in logs"
        with self.bench() as bench, bench.opened() as connector:
            http = getattr(connector, "http", None)
            for what in (connector, connector.settings, vars(connector), http, vars(http) if http else None):
                bench.keeps_quiet(f"{what!r} {what}", f"the repr of {type(what).__name__}")

    def test_a_wrong_secret_is_refused_without_showing_it(self) -> None:
        with self.bench(http=True) as bench:
            if not bench.secrets:
                pytest.skip(f"{self.connector.__name__} has no secret in these settings")
            wrong = _replaced(self.settings, bench.secrets)
            bench.secrets = {*bench.secrets, WRONG}
            with bench.opened(**wrong) as connector:
                error = bench.raised(connector.check, "check with a wrong secret")
            assert isinstance(error, AccessError), f"a wrong secret is no AccessError, but {error!r}"

    def test_streams_are_declared_soundly(self) -> None:
        streams = self._streams()
        names = [stream.name for stream in streams]
        assert names, "no stream is declared"
        assert len(names) == len(set(names)), f"two streams of one name: {sorted(names)}"
        for stream in streams:
            wrong = [*_wrong_names(stream), *_wrong_times(stream), *_wrong_deletes(stream, self.connector)]
            assert not wrong, f"{stream.name}: {'; '.join(wrong)}"

    def test_fields_feed_known_columns_and_all_that_a_row_must_have(self) -> None:
        for stream in self._streams():
            if stream.table is None:
                continue
            assert stream.table in tables(), f"{stream.name}: no table {stream.table!r}; {', '.join(tables())}"
            schema = model(stream.table).to_schema()
            filled = {"connection", "stream", str(schema.unique[-1])}
            unknown = sorted(set(stream.fields) - set(schema.columns))
            must = {name for name, column in schema.columns.items() if not column.nullable} - filled
            assert not unknown, f"{stream.name}: {stream.table} has no column {', '.join(unknown)}"
            assert must <= set(stream.fields), f"{stream.name}: nothing feeds {sorted(must - set(stream.fields))}"

    def test_a_check_tells_the_account_and_the_clock_of_the_source(self) -> None:
        with self.bench() as bench, bench.opened() as connector:
            check = connector.check()
            assert isinstance(check, Check), f"check answers {check!r}"
            assert check.account, "check names no account"
            for now in (check.now, connector.now()):
                assert now.utcoffset() == NEVER, f"the clock {now!r} is not aware and UTC"
                expected_time = TIME.date() if is_http(self.connector) else datetime.now(UTC)
                off = abs((now - expected_time).total_seconds())
                assert off < 60, f"the clock is {off:.0f} s off the source's: never tell our own"

    def test_discovers_fields_of_streams_that_it_has(self) -> None:
        with self.bench() as bench, bench.opened() as connector:
            fields_by_stream = connector.discover()
            strange = set(fields_by_stream) - {stream.name for stream in connector.streams}
            assert not strange, f"discover names unknown streams: {sorted(strange)}"
            nameless = [name for name, fields in fields_by_stream.items() if not all(field.path for field in fields)]
            assert not nameless, f"discover finds fields without a path: {nameless}"


def _is_plain(name: str, field: Any) -> bool:
    return bool(SECRET.search(name)) and field.annotation in (str, str | None)


def _replaced(value: Any, secrets: set[str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _replaced(inner, secrets) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(inner, secrets) for inner in value]
    return WRONG if isinstance(value, str) and value in secrets else value


def _wrong_names(stream: Stream) -> list[str]:
    wrong = [] if re.fullmatch(r"[a-z][a-z0-9_]*", stream.name) else [f"{stream.name!r} is no name for a table's file"]
    if not stream.primary_key:
        wrong.append("there is no primary key")
    if both := sorted({*paths(stream.fields)} & {*stream.ignores}):
        wrong.append(f"{', '.join(both)} is mapped and ignored")
    return wrong


def _wrong_times(stream: Stream) -> list[str]:
    wrong = [name for name in ("lag", "lookback") if getattr(stream, name) < NEVER]
    wrong += ["window"] if stream.window is not None and stream.window <= NEVER else []
    if stream.cursor is None and (stream.lag, stream.lookback, stream.window) != (NEVER, NEVER, None):
        wrong.append("lag, lookback or window without a cursor")
    return [f"{name}: not a time that can be" for name in wrong]


def _wrong_deletes(stream: Stream, kind: type[Connector]) -> list[str]:
    if stream.deletes in ("list", "feed") and not hasattr(kind, "deletes"):
        return [f"deletes={stream.deletes!r} needs the method `deletes`"]
    if stream.deletes == "sweep" and stream.cursor and not hasattr(kind, "keys"):
        return ["deletes='sweep' beside a cursor needs the method `keys`"]
    if (stream.deletes == "flag") != bool(stream.deleted_values):
        return ["deletes='flag' and deleted_values go together"]
    return []
