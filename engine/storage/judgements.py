"""What people say of two accounts: the same customer, or different ones; the newest word on a pair is in force."""

from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import insert, select

from engine.storage import ledger_tables as t
from engine.storage.transactions import Store

Account = tuple[str, str]  # connection, account_id
Verdict = Literal["same", "different"]
VERDICTS = ("same", "different")
FORGOTTEN = "forgotten"
SIDES = ("left_connection", "left_account_id", "right_connection", "right_account_id")


class Judgements(Store):
    """Keep judgements: every word stays in the log, a word that is taken back is in force no more."""

    def add(self, left: Account, right: Account, verdict: Verdict, by: str, why: str) -> bool:
        """Keep a word on two accounts, each (connection, account_id); False where it is in force already.

        Raises ValueError for another verdict, for an account beside itself, and without a name or a reason.
        """
        if verdict not in VERDICTS:
            raise ValueError(f"a verdict is one of {', '.join(VERDICTS)}; not {verdict!r}")
        if left == right:
            raise ValueError("an account cannot be judged against itself")
        if not by.strip() or not why.strip():
            raise ValueError("a judgement needs who says so, and why")
        return self._append(left, right, verdict, by, why)

    def withdraw(self, left: Account, right: Account, by: str, why: str) -> bool:
        """Take back what is in force on two accounts; False where nothing is."""
        return self._append(left, right, FORGOTTEN, by, why)

    def in_force(self) -> list[dict[str, Any]]:
        """List the judgements in force, oldest first: of each pair, in either order, the newest word."""
        newest: dict[tuple[Account, ...], dict[str, Any]] = {}
        for row in self.history():
            newest.pop(_pair(row), None)
            newest[_pair(row)] = row
        return [row for row in newest.values() if row["verdict"] != FORGOTTEN]

    def history(self) -> list[dict[str, Any]]:
        """List every word ever said, oldest first, those taken back too."""
        with self.transaction() as opened:
            return [dict(row) for row in opened.execute(select(t.judgements).order_by(t.judgements.c.id)).mappings()]

    def _append(self, left: Account, right: Account, verdict: str, by: str, why: str) -> bool:
        row = dict(zip(SIDES, (*left, *right), strict=True))
        held = next((one["verdict"] for one in self.in_force() if _pair(one) == _pair(row)), FORGOTTEN)
        if held == verdict:
            return False
        with self.transaction() as opened:
            opened.execute(insert(t.judgements).values(**row, verdict=verdict, by=by, why=why, at=datetime.now(UTC)))
        return True


def _pair(row: dict[str, Any]) -> tuple[Account, ...]:
    left, right = ((str(row[f"{side}_connection"]), str(row[f"{side}_account_id"])) for side in ("left", "right"))
    return (left, right) if left < right else (right, left)
