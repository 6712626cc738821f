"""One timing at a time on this machine, for one user."""

from __future__ import annotations

import getpass
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.errors import BenchError, UsageError

_POLL_SECONDS = 0.05


@contextmanager
def timing_lock(waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Keep out every other block of this kind that this user runs on this machine.

    A process that dies lets go. Entering twice at once waits for ever.

    Args:
        waiting: is called again and again while another is inside; may raise.

    Raises:
        UsageError: where the lock's file cannot be opened or locked.

    """
    from filelock import FileLock, Timeout

    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    path = Path(tempfile.gettempdir(), f"bench-{user}.lock")
    lock = FileLock(path, mode=0o600, timeout=0)
    # asked again and again, not once for good: between two questions Ctrl-C is heard
    while True:
        try:
            lock.acquire()
            break
        except Timeout:
            waiting()
            time.sleep(_POLL_SECONDS)
        except (OSError, NotImplementedError) as error:  # filelock's, where a system has no locks
            raise _unlockable(path, error) from error
    try:
        yield
    finally:
        lock.release()


def _unlockable(path: Path, error: Exception) -> BenchError:
    reason = error.strerror if isinstance(error, OSError) else None
    return UsageError.of(
        str(path),
        f"cannot be locked: {reason or error}",
        "a file of your own, so that two timings do not disturb each other",
        "remove it, or name another folder in TMPDIR",
    )
