"""A file for the newest refresh token of a connection whose server rotates it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from pydantic import SecretStr

from connectors.kit.errors import SettingsError


class TokenFile:
    """Keep one refresh token, readable for its owner alone (0600).

    Its name holds the connection and a digest of the configured token: another token in the settings
    is another file, so that a new authorization always wins over what was kept.
    """

    def __init__(self, folder: Path, connection: str, configured: str) -> None:
        self.connection = connection
        self.path = folder / f"{connection}-{sha256(configured.encode()).hexdigest()[:16]}"

    @contextmanager
    def locked(self) -> Iterator["TokenFile"]:
        """Let one process at a time read the token, trade it and write the next one.

        Raises SettingsError where the folder cannot be written to, before anything is traded.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = _opened(self._beside("lock"), os.O_RDWR)
        except OSError as error:
            raise self._unwritten(error, "name another home folder in BELVEDERE_HOME") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self
        finally:
            os.close(lock)

    def read(self) -> SecretStr | None:
        """Return the token that was kept last; None where none was."""
        try:
            return SecretStr(self.path.read_text("utf-8")) if self.path.exists() else None
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"{self.connection}: the refresh token in {self.path} cannot be read ({error}); restore "
                "the file, or authorize again and put the new token into the settings"
            ) from None

    def write(self, token: SecretStr) -> None:
        """Replace the token as a whole, on the disk before this returns."""
        new = self._beside("new")
        try:
            file = _opened(new, os.O_WRONLY | os.O_TRUNC)
            try:
                os.write(file, token.get_secret_value().encode())
                os.fsync(file)
            finally:
                os.close(file)
            new.replace(self.path)
        except OSError as error:
            raise self._unwritten(
                error,
                "the one in the settings is void: make room, authorize again and put the new token there",
            ) from None

    def _beside(self, kind: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{kind}")

    def _unwritten(self, error: OSError, remedy: str) -> SettingsError:
        return SettingsError(
            f"{self.connection}: the refresh token cannot be kept in {self.path.parent} ({error.strerror}); {remedy}"
        )


def _opened(path: Path, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, 0o600)
