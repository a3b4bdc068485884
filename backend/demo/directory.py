"""The demo's folder: its own, empty at the start, used by one demo at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mcal_engine.errors import InvalidValue

MARK = ".mcal-demo"  # says that everything in here may be deleted; also the lock


@contextmanager
def fresh_directory(directory: Path) -> Iterator[Path]:
    """Make ``directory``, or empty it if an earlier demo made it; holds it until the context ends.

    Raises:
        InvalidValue: it holds something that no demo made, or another demo is using it.
    """
    mark = directory / MARK
    if directory.exists() and not mark.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InvalidValue(f"directory must be new, empty or an earlier demo's, got {directory}")
    directory.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(mark, os.O_RDWR | os.O_CREAT, 0o600), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InvalidValue(f"directory {directory} is used by a demo that is running; end it, or give another --directory") from None
        for path in directory.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path != mark:
                path.unlink()
        yield directory
