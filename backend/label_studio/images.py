"""Reads images the way Label Studio serves them. Its token goes to Label Studio only, whatever a task's data or a redirect says."""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from urllib.parse import parse_qs, unquote_to_bytes

import httpx

from backend.label_studio.addresses import AllowedHosts, GuardedTransport
from backend.label_studio.port import LabelStudioPort, MediaError
from backend.label_studio.transport import Connection, unreachable

MAX_REDIRECTS = 5
MAX_SECONDS = 120.0  # for one image from first byte to last: a sender that drips must not hold a thread for hours
TOKEN_PATHS = re.compile(r"/(data|storage-data)/|/(tasks|projects)/\d+/(resolve|presign)/")
"""Where Label Studio keeps images: the token fetches from there and from nowhere else, whatever a task's data says."""
CLOUD_SCHEMES = frozenset({"s3", "s3s", "gs", "azure-blob", "azure-spi", "redis", "dbfs"})
_OUTSIDE_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_AS_IS = {"Accept-Encoding": "identity"}  # images are compressed already, and a compressed body could grow past the limit


class MediaFetcher:
    """Fetches what a task's image field refers to.

    ============================  =============================================================================
    ``/data/…``                   Label Studio's own files: uploads and local files, with its token; no other path of it
    ``http(s)://`` Label Studio   the same, also where it is named as browsers reach it (``public_url``)
    ``http(s)://`` elsewhere      without the token; private addresses only if allowed, judged at every redirect
    ``s3://``, ``gs://``, …       through Label Studio's proxy; the presigned address it may send us to gets no token
    ``data:``                     decoded here
    ============================  =============================================================================
    """

    def __init__(self, connection: Connection, *, allowed_private_hosts: Sequence[str] = (), public_url: str | None = None) -> None:
        self._connection = connection
        self._public = None if public_url is None else f"{public_url.rstrip('/')}/"
        self._home = httpx.URL(connection.base_url)
        self._outside = httpx.Client(transport=GuardedTransport(AllowedHosts(allowed_private_hosts)), timeout=_OUTSIDE_TIMEOUT)

    def close(self) -> None:
        """Close the connections to other hosts."""
        self._outside.close()

    def fetch(self, reference: str, *, task_id: int, max_bytes: int) -> bytes:
        """The bytes behind ``reference``.

        Raises:
            MediaError: this image cannot be had.
            LabelStudioError: Label Studio itself cannot be reached or refuses the token, so that no image can be had.
        """
        if self._public is not None and reference.startswith(self._public):
            reference = reference.removeprefix(self._public[:-1])  # its path: from here, Label Studio has another address
        scheme = reference.partition(":")[0].lower() if ":" in reference else ""
        if scheme == "data":
            return _decode_data_uri(reference, max_bytes)
        if not reference:
            raise MediaError(
                "the task has no image: the field that the Image tag names is missing, empty or a list of several", retryable=False
            )
        url = self._resolve(reference, scheme, task_id)
        trusted = self._is_home(url)
        deadline = time.monotonic() + MAX_SECONDS
        for _ in range(MAX_REDIRECTS + 1):
            found = self._get(url, named=_named(reference), trusted=trusted, max_bytes=max_bytes, deadline=deadline)
            if isinstance(found, bytes):
                return found
            url = found
            if url.scheme not in ("http", "https"):
                raise MediaError(f"redirect to {url.scheme}: refused", retryable=False)
            trusted = trusted and self._is_home(url)  # once away from Label Studio, the way back earns no token
        raise MediaError(f"more than {MAX_REDIRECTS} redirects", retryable=False)

    def _resolve(self, reference: str, scheme: str, task_id: int) -> httpx.URL:
        if reference.startswith("/") and not reference.startswith("//"):
            root = self._home.path.rstrip("/")
            path = reference if reference.startswith(f"{root}/") else root + reference
            return self._parse(f"{self._home.scheme}://{self._home.netloc.decode()}{path}")
        if scheme in ("http", "https"):
            return self._parse(reference)
        if scheme in CLOUD_SCHEMES:
            encoded = base64.urlsafe_b64encode(reference.encode()).decode()
            return httpx.URL(f"{self._home}/tasks/{task_id}/resolve/", params={"fileuri": encoded})
        what = f"scheme {scheme!r}" if scheme else "a relative path"
        raise MediaError(
            f"an image must be a path on Label Studio, http(s), data: or cloud storage, got {what}: {reference[:200]}", retryable=False
        )

    @staticmethod
    def _parse(text: str) -> httpx.URL:
        try:
            url = httpx.URL(text)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise MediaError(f"not an address: {text[:200]} ({error})", retryable=False) from None
        if not url.host:
            raise MediaError(f"not an address: {text[:200]}", retryable=False)
        return url

    def _is_home(self, url: httpx.URL) -> bool:
        return _origin(url) == _origin(self._home)

    def _holds_images(self, url: httpx.URL) -> bool:
        path = url.path.removeprefix(self._home.path.rstrip("/"))
        return TOKEN_PATHS.match(path) is not None and not {".", ".."} & set(path.replace("\\", "/").split("/"))

    def _get(self, url: httpx.URL, *, named: str, trusted: bool, max_bytes: int, deadline: float) -> bytes | httpx.URL:
        """The body, or where we are sent on to. ``named``: what the task calls the image."""
        if trusted and not self._holds_images(url):
            raise MediaError(f"an image on Label Studio must be below /data/, got {url.path[:200]}", retryable=False)
        client = self._connection.client if trusted else self._outside
        answered = False
        try:
            with client.stream("GET", url, headers=_AS_IS) as response:
                answered = True
                if response.is_redirect and "location" in response.headers:
                    return self._parse(str(url.join(response.headers["location"])))
                self._refuse_failure(response, url, named, trusted)
                return _read(response, max_bytes, deadline)
        except httpx.TransportError as error:
            if trusted and not answered:
                raise unreachable(self._connection.base_url, error) from None
            trouble = "broke off" if answered else "cannot be reached"
            raise MediaError(f"{url.host} {trouble}: {error or type(error).__name__}", retryable=True) from None
        except (httpx.InvalidURL, httpx.DecodingError) as error:
            raise MediaError(f"{url.host}: {error}", retryable=False) from None

    def _refuse_failure(self, response: httpx.Response, url: httpx.URL, named: str, trusted: bool) -> None:
        status = response.status_code
        if status == 401 and trusted:  # not this image's fault: without a valid token none can be had
            raise self._connection.refusal(status, "reading an image", f"GET {url.path}")
        if status == 500 and trusted and b"has_permission" in response.read():  # how 1.23.2 answers for an upload it does not know
            raise MediaError(f"{named}: Label Studio knows no such upload", retryable=False)
        if status == 404 and trusted and url.path.endswith("/resolve/"):
            bucket = "/".join(named.split("/")[:3])
            fix = f"connect {bucket} as a source under the project's Settings → Cloud Storage"
            raise MediaError(f"{named}: Label Studio has no storage that holds it (answered 404); {fix}", retryable=False)
        if status in (404, 410):
            raise MediaError(
                f"{named}: there is no such file at {'Label Studio' if trusted else url.host} (answered {status})", retryable=False
            )
        if not response.is_success:
            where = f"Label Studio, {url.path}" if trusted else url.host
            # 424 is what Label Studio answers when the cloud storage behind it fails, for a while or because the object is gone.
            raise MediaError(f"{where}: answered {status}", retryable=status in (408, 424, 425, 429) or status >= 500)
        if response.headers.get("content-encoding", "identity") != "identity":
            raise MediaError(f"{url.host}: sent the image compressed though asked not to", retryable=False)


def _named(reference: str) -> str:
    """The image as its task names it, without what may be secret: addresses carry signatures behind a question mark."""
    if "/data/local-files/" in reference:
        asked = parse_qs(reference.partition("?")[2]).get("d")
        return f"/data/local-files/?d={asked[0]}"[:200] if asked else "/data/local-files/"
    shown = reference.partition("?")[0]
    scheme, marked, rest = shown.partition("://")
    return (f"{scheme}://{rest.rpartition('@')[2]}" if marked else shown)[:200]


def fetch_many(
    port: LabelStudioPort,
    references: Iterable[tuple[int, str]],
    *,
    max_bytes: int,
    threads: int = 8,
    tries: int = 3,
    pause: float = 1.0,
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[int, bytes | MediaError]]:
    """Fetch images in parallel; yields (task id, bytes or why not) as they come, in no order, with few in memory at a time.

    Args:
        references: (task id, image reference).
        tries: how often one image is tried if its failure is retryable.
        pause: seconds before the second try; doubles.
        progress: called with the number done so far.

    Raises:
        LabelStudioError: Label Studio itself failed; what was not yielded yet is to be asked for again.
    """

    def fetch(item: tuple[int, str]) -> tuple[int, bytes | MediaError]:
        task_id, reference = item
        for attempt in range(tries):
            try:
                return task_id, port.fetch_media(reference, task_id=task_id, max_bytes=max_bytes)
            except MediaError as error:
                if not error.retryable or attempt == tries - 1:
                    return task_id, error
            time.sleep(pause * 2**attempt)
        raise AssertionError("unreachable")

    remaining = iter(references)
    done = 0
    pool = ThreadPoolExecutor(threads, thread_name_prefix="media")
    try:
        running: set[Future[tuple[int, bytes | MediaError]]] = {pool.submit(fetch, item) for item in islice(remaining, 2 * threads)}
        while running:
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(fetch, item) for item in islice(remaining, len(finished))}
            for future in finished:
                yield future.result()
                done += 1
                if progress is not None:
                    progress(done)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _read(response: httpx.Response, max_bytes: int, deadline: float) -> bytes:
    too_large = MediaError(f"the image has more than {max_bytes:,} bytes (setting max_image_bytes)", retryable=False)
    announced = response.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > max_bytes:
        raise too_large
    parts = bytearray()
    for part in response.iter_raw():
        parts += part
        if len(parts) > max_bytes:
            raise too_large
        if time.monotonic() > deadline:
            raise MediaError(f"the image took longer than {MAX_SECONDS:g} s", retryable=True)
    if announced.isdigit() and len(parts) < int(announced):
        raise MediaError(f"the image ended after {len(parts):,} of {announced} bytes", retryable=True)
    return bytes(parts)


def _decode_data_uri(reference: str, max_bytes: int) -> bytes:
    head, comma, body = reference.partition(",")
    if not comma:
        raise MediaError("data: URI without data", retryable=False)
    if len(body) > 4 * max_bytes:
        raise MediaError(f"the image has more than {max_bytes:,} bytes (setting max_image_bytes)", retryable=False)
    raw = unquote_to_bytes(body)
    if head.lower().endswith(";base64"):
        try:
            raw = base64.b64decode(b"".join(raw.split()), validate=True)
        except (binascii.Error, ValueError):
            raise MediaError("data: URI is not valid base64", retryable=False) from None
    if len(raw) > max_bytes:
        raise MediaError(f"the image has more than {max_bytes:,} bytes (setting max_image_bytes)", retryable=False)
    return raw


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host.lower().rstrip("."), url.port or {"http": 80, "https": 443}.get(url.scheme)
