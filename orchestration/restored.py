"""A source that went back to earlier versions of its records: what it has lost is lost here, too."""

from orchestration.extraction import Extraction
from orchestration.shown import Shown


def set_back(run: Extraction, shown: Shown) -> None:
    """Let versions count no more that are later than those that a reading of all has shown.

    An answer may lag behind, so that what is younger than the stream's lookback stays.
    """
    if not shown.files:
        return
    held = run.held_now()
    stamps = held.stamps(shown.files, shown.same, run.until - run.stream.lookback)
    if lost := held.lost(stamps):
        from orchestration.stamps import set_behind

        set_behind(held, stamps)
        run.result.notes.append(f"the source went back to earlier versions of {lost} records, and so they did here")
