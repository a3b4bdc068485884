"""Where a list's reference to an image leads on this machine."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

_CLOUD = frozenset({"s3", "s3a", "gs", "azure-blob", "hdfs"})
_COMMON = (".jpg", ".jpeg", ".png", ".webp")  # tried where a list gives names without a suffix


class Finder:
    """Finds the files that a list names, from the list's own folder.

    A reference may be a path, relative or absolute, with slashes of either kind; a ``file://`` address; what Label Studio writes for its
    uploads and local files; or an address in a bucket, whose files are looked for beside the list.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, reference: str) -> Path | None:
        """The file, or ``None`` where it is not there."""
        return next((path for path in self._candidates(reference.strip()) if path.is_file()), None)

    def _candidates(self, reference: str) -> list[Path]:
        scheme = reference.partition("://")[0].lower() if "://" in reference else ""
        if scheme == "file":
            return [Path(unquote(urlsplit(reference).path))]
        if scheme in {"http", "https"}:
            return []  # fetched by nobody: a file of the same name beside the list may be another one
        if scheme in _CLOUD:
            key = unquote(urlsplit(reference).path).lstrip("/")
            return self._here(key, Path(key).name)
        if reference.startswith("/data/local-files/"):
            asked = parse_qs(urlsplit(reference).query).get("d", [""])[0]
            return self._here(asked, Path(asked).name)
        if reference.startswith("/data/upload/"):
            name = Path(unquote(reference)).name
            return self._here(name, name.partition("-")[2] or name)  # Label Studio puts eight characters and a dash before the name
        return self._here(reference, unquote(reference), reference.replace("\\", "/"))

    def _here(self, *names: str) -> list[Path]:
        found = [self._folder / name for name in dict.fromkeys(names) if name]
        return found + [path.with_name(path.name + suffix) for path in found if not path.suffix for suffix in _COMMON]


def is_address(reference: str) -> bool:
    """Whether a reference leads to another machine."""
    scheme = reference.strip().partition("://")[0].lower()
    return "://" in reference and scheme in {"http", "https", *_CLOUD}
