"""The ECB's euro reference rates as published: one row for each quote."""

import csv
import io
import zipfile
from collections.abc import Iterable
from datetime import date
from importlib import resources
from pathlib import Path

import pyarrow as pa

QUOTES = pa.schema([("quoted_on", pa.date32()), ("currency", pa.string()), ("per_eur", pa.float64())])
SHIPPED_BY = "currency_converter"
SHIPPED_AS = "eurofxref-hist.zip"


def quotes(path: str | Path | None = None) -> pa.Table:
    """Read the quotes of a `eurofxref-hist` file (csv or zip); by default the one installed with us."""
    if path is None:
        return parse_quotes(_lines(resources.files(SHIPPED_BY).joinpath(SHIPPED_AS).read_bytes()))
    return parse_quotes(_lines(Path(path).read_bytes()))


def parse_quotes(lines: Iterable[str]) -> pa.Table:
    """Turn the wide file (Date,USD,JPY,...) into quotes; "N/A" and empty cells are no quotes.

    Raises ValueError, naming the line, where the file is not of that form.
    """
    reader = csv.reader(lines)
    currencies = [name.strip() for name in next(reader, [])]
    if not currencies or currencies[0] != "Date":
        raise ValueError("not an ECB eurofxref-hist file: the first line must start with 'Date'")
    days: list[date] = []
    names: list[str] = []
    rates: list[float] = []
    for row in reader:
        cells = [(name, cell.strip()) for name, cell in zip(currencies, row, strict=False) if name]
        quoted = [(name, cell) for name, cell in cells[1:] if cell not in ("", "N/A")]
        try:
            day = date.fromisoformat(cells[0][1])
            rates += [float(cell) for _, cell in quoted]
        except (ValueError, IndexError) as error:
            raise ValueError(f"line {reader.line_num} of the ECB file: {error}") from error
        days += [day] * len(quoted)
        names += [name for name, _ in quoted]
    return pa.table([days, names, rates], schema=QUOTES)


def _lines(content: bytes) -> Iterable[str]:
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content = archive.read(archive.namelist()[0])
    return content.decode("utf-8-sig").splitlines()
