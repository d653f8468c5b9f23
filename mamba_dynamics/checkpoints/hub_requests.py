"""Requests to a hub that may be slow, broken or hostile: bounded in bytes, in time and in repetitions.

The `huggingface_hub` library says where the hub is (HF_ENDPOINT), whether it may be asked (HF_HUB_OFFLINE) and who
asks (HF_TOKEN, the token file), and lends its HTTP client, which follows redirects and leaves the token behind where
one leads to another host. The library's own calls hold whole answers in memory, however long they are; here an answer
is a stream of which no more is kept than was asked for.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from .._errors import CheckpointError, CorruptFile
from .base import shown

#: How often one range is asked for before giving up; what came of it meanwhile is kept.
ATTEMPTS = 4
#: Seconds before the second attempt; they double with every further one.
PAUSE = 0.5
#: A server that asks to wait for longer than this many seconds is not waited for.
LONGEST_PAUSE = 30.0
#: A range may take so many seconds, and one more for every so many bytes.
PATIENCE, BYTES_PER_SECOND = 60.0, 50_000
#: A range of more bytes is never asked for: no tensor comes near it.
LARGEST_RANGE = 2**32

#: Answers that may be another one a moment later.
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_DOWNLOAD = "download the model first: hf download"


class Refused(CheckpointError):
    """The server said no: `status` is its HTTP status, `code` the hub's word for the reason."""

    def __init__(self, what: str, status: int, code: str):
        super().__init__(f"{what}: the server answers {status}{f' ({shown(code)})' if code else ''}")
        self.status, self.code = status, code


@dataclass
class Seen:
    """What a server said of a file so far; a later answer that contradicts it is refused.

    `tags` are ETags by host and header, so that a hub's are never compared with those of the storage behind it.
    `location` is where a redirect led to. `ranged` is False where the server sends whole files only.
    """

    size: int | None = None
    ranged: bool = True
    tags: dict[tuple[str, str], str] = field(default_factory=dict)
    commits: set[str] = field(default_factory=set)
    location: str | None = None


class Hub:
    """The hub that the environment names; `bytes_fetched` counts what came from it."""

    def __init__(self, library: Any):
        self._library = library
        self.endpoint = str(library.constants.ENDPOINT)
        self.bytes_fetched = 0
        self._token = None if library.constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else library.get_token()

    def fetch(self, url: str, offset: int, count: int, seen: Seen, what: str) -> bytearray:
        """Bytes `offset` to `offset + count` of what is at `url`, fewer only where it ends; `what` is for messages.

        Raises:
            Refused: the server refuses it.
            CheckpointError: it cannot be reached, or does not answer in time.
            CorruptFile: it contradicts itself, or what it said before.
        """
        if count > LARGEST_RANGE:
            raise CorruptFile(f"{what}: expected at most {LARGEST_RANGE} bytes at a time, found a tensor of {count}")
        data, trouble, advice = bytearray(), "no answer", ""
        limit = PATIENCE + count / BYTES_PER_SECOND
        deadline = time.monotonic() + limit
        for attempt in range(ATTEMPTS):
            pause = PAUSE * 2**attempt
            try:
                if self._read(url, offset, count, data, seen, what, deadline):
                    return data
                trouble = "the connection ended early"
            except _Busy as busy:
                trouble, advice, pause = str(busy), "", max(pause, busy.seconds)
            except self._library.Transient as error:
                if _whole(data, offset, count, seen):
                    return data
                trouble = shown(f"{type(error).__name__} {error}".strip())
                advice = "check the connection, or "
            if time.monotonic() + pause > deadline or pause > LONGEST_PAUSE:
                break
            if attempt < ATTEMPTS - 1:
                time.sleep(pause)
        raise CheckpointError(f"{what} cannot be read from {_host(url)}: {trouble}; {advice}try again later")

    def _read(self, url: str, offset: int, count: int, data: bytearray, seen: Seen, what: str, deadline: float) -> bool:
        """Add to `data` what one answer brings; whether it is whole then."""
        if not seen.ranged:
            data.clear()
        first, wanted = offset + len(data), count - len(data)
        with self._answer(url, first, wanted, what) as response:
            promised = _look(response, first, wanted, seen, what)
            for chunk in response.iter_raw():
                self.bytes_fetched += len(chunk)
                room = min(promised, wanted) - (offset + len(data) - first)
                data += chunk[:room]
                if len(chunk) > room:
                    if seen.ranged:
                        raise CorruptFile(f"{what}: {_host(url)} sends more bytes than it was asked for")
                    return True
                if time.monotonic() > deadline:
                    raise CheckpointError(f"{what} comes too slowly from {_host(url)}; try again later")
        if seen.size is None:
            seen.size = offset + len(data)
        return _whole(data, offset, count, seen)

    @contextmanager
    def _answer(self, url: str, first: int, wanted: int, what: str) -> Iterator[Any]:
        """The answer to a request for a range, once it is a success."""
        library = self._library
        headers = self._headers(url) | {"Range": f"bytes={first}-{first + wanted - 1}", "Accept-Encoding": "identity"}
        timeout = library.constants.HF_HUB_DOWNLOAD_TIMEOUT
        try:
            with library.get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
                status = response.status_code
                if status in _BUSY:
                    raise _Busy(status, response.headers.get("Retry-After", ""))
                if status not in (200, 206):
                    raise Refused(what, status, response.headers.get("X-Error-Code", ""))
                yield response
        except library.Transient:
            raise
        except (library.HTTPError, library.InvalidURL) as error:
            reason = shown(f"{type(error).__name__} {error}".strip())
            raise CheckpointError(f"{what} cannot be read from {_host(url)}: {reason}; check HF_ENDPOINT") from None
        except UnicodeError:
            raise CheckpointError(
                "expected a plain text as token in HF_TOKEN or the token file; log in again"
            ) from None

    def _headers(self, url: str) -> dict[str, str]:
        """Who asks; the token is for the hub alone."""
        # Not the library's own headers: to make them it asks the hub for a list of programs that use it.
        headers = {"User-Agent": f"mamba-dynamics/{version('mamba-dynamics')}"}
        if self._token is None or urlsplit(url)[:2] != urlsplit(self.endpoint)[:2]:
            return headers
        return headers | {"Authorization": f"Bearer {self._token}"}


class _Busy(Exception):
    """The server asks for patience, of `seconds` if it says so."""

    def __init__(self, status: int, retry_after: str):
        self.seconds = float(retry_after) if retry_after.isdecimal() and len(retry_after) < 9 else 0.0
        wait = f" and asks to wait for {self.seconds:.0f} seconds" if self.seconds else ""
        super().__init__(f"it answers {status}{' (too many requests)' if status == 429 else ''}{wait}")


def import_library() -> Any:
    """What is used of `huggingface_hub`, or None where it is missing or older than release 1."""
    try:
        from huggingface_hub import constants, errors, get_token
        from huggingface_hub.utils import get_session, validate_repo_id
    except (ImportError, OSError):
        return None
    # Release 1 lends a client of httpx, release 2 one of httpx2; their exceptions have the same names.
    base = next((one for one in errors.HfHubHTTPError.__mro__ if one.__module__.startswith("httpx")), None)
    if base is None:
        return None
    client = __import__(base.__module__.partition(".")[0])
    return SimpleNamespace(
        constants=constants,
        get_token=get_token,
        get_session=get_session,
        validate_repo_id=validate_repo_id,
        BadId=errors.HFValidationError,
        HTTPError=client.HTTPError,
        InvalidURL=client.InvalidURL,
        Transient=(client.TimeoutException, client.NetworkError, client.RemoteProtocolError),
    )


def _look(response: Any, first: int, wanted: int, seen: Seen, what: str) -> int:
    """Compare an answer's headers with what was asked and `seen`; how many bytes it promises, at most."""
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise CorruptFile(f"{what}: the server sends it packed, which was not asked for; {_DOWNLOAD}")
    length = _number(response.headers.get("Content-Length"))
    if response.status_code == 206:
        promised, size = _range(response, first, wanted, length, what)
    elif first:
        raise CorruptFile(f"{what}: the server sends whole files where a part was asked for; {_DOWNLOAD}")
    else:
        seen.ranged = False
        promised, size = wanted if length is None else length, length
    if size is not None and seen.size not in (None, size):
        raise CorruptFile(f"{what}: it had {seen.size} bytes and now has {size}: replaced meanwhile; try again")
    seen.size = seen.size if size is None else size
    for tag, found in _tags(response):
        if seen.tags.setdefault(tag, found) != found:
            raise CorruptFile(f"{what}: it was replaced while it was read; try again")
    answers = (*response.history, response)
    seen.commits |= {one.headers["X-Repo-Commit"] for one in answers if "X-Repo-Commit" in one.headers}
    seen.location = str(response.url) if response.history else seen.location
    return promised


def _range(response: Any, first: int, wanted: int, length: int | None, what: str) -> tuple[int, int]:
    """(bytes of this answer, bytes of the file) by Content-Range."""
    found = response.headers.get("Content-Range", "")
    match = _CONTENT_RANGE.fullmatch(found)
    begin, end, size = (int(one) for one in match.groups()) if match else (-1, -1, -1)
    promised = end + 1 - begin
    if begin != first or not 0 < promised <= wanted or end >= size or length not in (None, promised):
        raise CorruptFile(
            f"{what}: expected bytes {first} to {first + wanted - 1}, found an answer with {shown(found)} of "
            f"{'unknown' if length is None else length} bytes; {_DOWNLOAD}"
        )
    return promised, size


def _tags(response: Any) -> Iterator[tuple[tuple[str, str], str]]:
    """((host, header), tag) of everything that names the file's content."""
    for answer in (*response.history, response):
        if "X-Linked-Etag" in answer.headers:
            yield (answer.url.host, "X-Linked-Etag"), answer.headers["X-Linked-Etag"]
    if "ETag" in response.headers:
        yield (response.url.host, "ETag"), response.headers["ETag"].removeprefix("W/")


def _whole(data: bytearray, offset: int, count: int, seen: Seen) -> bool:
    return len(data) == count or (seen.size is not None and offset + len(data) == seen.size)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() and len(text) < 19 else None


def _host(url: str) -> str:
    return shown(urlsplit(url).netloc.rpartition("@")[2])
