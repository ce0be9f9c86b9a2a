"""The ECB's file, shipped or the user's own."""

import zipfile
from datetime import date

import pytest

from transforms.conform.ecb_rates import QUOTES, parse_quotes, quotes

CONTENT = "Date,USD,JPY,\n2026-01-05, 1.1 ,N/A,\n2026-01-02,1.2,160,\n"
ROWS = [(date(2026, 1, 5), "USD", 1.1), (date(2026, 1, 2), "USD", 1.2), (date(2026, 1, 2), "JPY", 160.0)]


def tuples(table):
    return [tuple(row.values()) for row in table.to_pylist()]


@pytest.mark.parametrize("name", ["rates.csv", "rates.zip"])
def test_reads_a_file_of_the_users_own(tmp_path, name):
    path = tmp_path / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("eurofxref-hist.csv", CONTENT)
    else:
        path.write_text(CONTENT, "utf-8")
    assert tuples(quotes(path)) == ROWS


def test_reads_the_file_that_is_installed():
    result = quotes()
    assert result.schema == QUOTES
    assert result.num_rows > 200_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "must start with 'Date'"),
        ("<html>", "must start with 'Date'"),
        ("Date,USD\n2026-01-05,1.1\nyesterday,1.1", "line 3 of the ECB file"),
        ("Date,USD\n2026-01-05,1;1", "line 2 of the ECB file"),
    ],
)
def test_names_the_line_that_is_not_of_the_form(content, message):
    with pytest.raises(ValueError, match=message):
        parse_quotes(content.splitlines())
