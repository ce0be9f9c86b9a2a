"""A process that dies at any point between two things that others can see: a request, a file, a transaction."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import current_thread, get_ident
from typing import Any

import pytest
import requests
from sqlalchemy import delete

from engine.config.project import Project
from engine.storage import ledger_tables as t


class Death(BaseException):
    """The process is gone; nothing that it would still do is done."""


class Dying:
    """Die at the so-manieth step, before it or just after it; the steps are those of one thread and of its pools."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.left, self.after = at, after
        self.thread, self.is_dead = get_ident(), False

    @property
    def _is_elsewhere(self) -> bool:
        return get_ident() != self.thread and not current_thread().name.startswith("ThreadPoolExecutor")

    def step(self, does: Callable[..., Any]) -> Callable[..., Any]:
        """Count calls of a function as steps."""

        def counted(*args: Any, **options: Any) -> Any:
            if self._is_elsewhere:
                return does(*args, **options)
            is_last = self._counted()
            if self.is_dead and not (is_last and self.after):
                raise Death
            done = does(*args, **options)
            if is_last:
                getattr(done, "close", bool)()  # the system closes a dead process's sockets
                raise Death
            return done

        return counted

    def transaction(self, opens: Callable[[], Any]) -> Callable[[], Any]:
        """Count transactions as steps; one that is broken off is rolled back."""

        @contextmanager
        def counted() -> Iterator[Any]:
            if self._is_elsewhere:
                with opens() as opened:
                    yield opened
                return
            is_last = self._counted()
            if self.is_dead and not (is_last and self.after):
                raise Death
            with opens() as opened:
                yield opened
            if is_last:
                raise Death

        return counted

    def _counted(self) -> bool:
        self.left -= 1
        self.is_dead = self.left <= 0
        return self.left == 0


def dies(
    project: Project,
    does: Callable[[], object],
    at: int,
    *,
    after: bool,
    steps: Sequence[tuple[Any, str]] = ((requests.Session, "send"),),
) -> bool:
    """Do something in a process that dies at a step; tells whether it did before all was done.

    `steps` are functions by their places that count as steps, beside files and transactions.
    """
    dying = Dying(at, after=after)
    with pytest.MonkeyPatch.context() as patch:
        for place, name in steps:
            patch.setattr(place, name, dying.step(getattr(place, name)))
        patch.setattr(project.lake, "write", dying.step(project.lake.write))
        patch.setattr(project.ledger.database, "transaction", dying.transaction(project.ledger.database.transaction))
        with suppress(Death):
            does()
    _bury(project)
    return dying.is_dead


def _bury(project: Project) -> None:
    """Take away the lease that a dead process would hold: its successor sees that the holder is no more."""
    with project.ledger.transaction() as opened:
        opened.execute(delete(t.leases))
