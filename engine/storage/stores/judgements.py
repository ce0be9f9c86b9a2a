"""What people say of two accounts: the same customer, or different ones.

The newest judgement of a pair is in force.
"""

from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import insert, select

from engine.storage import ledger_tables as t
from engine.storage.transactions import Store

Account = tuple[str, str]  # connection, account_id
Verdict = Literal["same", "different"]
VERDICTS = ("same", "different")
WITHDRAWN = "forgotten"  # as it is stored
SIDES = ("left_connection", "left_account_id", "right_connection", "right_account_id")


class Judgements(Store):
    """The log of all judgements: one that is withdrawn stays in it, and is no longer in force."""

    def add(self, account: Account, other: Account, verdict: Verdict, by: str, reason: str) -> bool:
        """Store a judgement of two accounts, each (connection, account_id).

        Returns False where it is in force already. Raises ValueError for another verdict, for an
        account and itself, and without a name or a reason.
        """
        if verdict not in VERDICTS:
            raise ValueError(f"unknown verdict {verdict!r}; choices: {', '.join(VERDICTS)}")
        if account == other:
            raise ValueError("an account cannot be judged against itself")
        if not by.strip() or not reason.strip():
            raise ValueError("a judgement needs an author and a reason")
        return self._append(account, other, verdict, by, reason)

    def withdraw(self, account: Account, other: Account, by: str, reason: str) -> bool:
        """Withdraw the judgement of two accounts that is in force; False where there is none."""
        return self._append(account, other, WITHDRAWN, by, reason)

    def in_force(self) -> list[dict[str, Any]]:
        """List the judgements in force, oldest first: of each pair of accounts the newest."""
        newest: dict[tuple[Account, ...], dict[str, Any]] = {}
        for row in self.history():
            newest.pop(_pair(row), None)
            newest[_pair(row)] = row
        return [row for row in newest.values() if row["verdict"] != WITHDRAWN]

    def history(self) -> list[dict[str, Any]]:
        """List all judgements, oldest first, withdrawn ones too."""
        with self.transaction() as opened:
            return [dict(row) for row in opened.execute(select(t.judgements).order_by(t.judgements.c.id)).mappings()]

    def _append(self, account: Account, other: Account, verdict: str, by: str, reason: str) -> bool:
        row: dict[str, Any] = dict(zip(SIDES, (*account, *other), strict=True))
        verdicts = {_pair(judgement): judgement["verdict"] for judgement in self.in_force()}
        if verdicts.get(_pair(row), WITHDRAWN) == verdict:
            return False
        row |= {"verdict": verdict, "by": by, "why": reason, "at": datetime.now(UTC)}
        with self.transaction() as opened:
            opened.execute(insert(t.judgements).values(row))
        return True


def _pair(row: dict[str, Any]) -> tuple[Account, ...]:
    accounts = ((str(row[f"{side}_connection"]), str(row[f"{side}_account_id"])) for side in ("left", "right"))
    return tuple(sorted(accounts))
