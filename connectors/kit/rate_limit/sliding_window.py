"""One moving window: how many requests were sent in its last seconds, counted in about a hundred buckets."""

import msgspec

BUCKETS = 100


class Bucket(msgspec.Struct, array_like=True):
    """Count requests that were sent from `first` to `last`; all of them stay as long as the last does."""

    first: float
    last: float
    count: int


class Window(msgspec.Struct):
    """Count what was sent; `said` is the vendor's own limit, where it told one."""

    buckets: list[Bucket] = []
    said: int | None = None

    def used(self, now: float, seconds: float) -> int:
        """Forget what has left the window, and count the rest."""
        expired = 0
        for bucket in self.buckets:
            if bucket.last + seconds > now:
                break
            expired += 1
        del self.buckets[:expired]
        return sum([bucket.count for bucket in self.buckets])

    def charge(self, now: float, seconds: float, count: int = 1) -> None:
        """Count requests sent now; a daily window of a million of them stays as small as any."""
        last = self.buckets[-1] if self.buckets else None
        if last and now - last.first < seconds / BUCKETS:
            last.last, last.count = max(last.last, now), last.count + count
        else:
            self.buckets.append(Bucket(now, now, count))

    def free_at(self, used: int, most: int, seconds: float) -> float:
        """Tell when fewer than `most` of the `used` are left in the window."""
        for bucket in self.buckets:
            used -= bucket.count
            if used < most:
                return bucket.last + seconds
        return 0.0
