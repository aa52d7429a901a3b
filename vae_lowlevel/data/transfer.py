"""One download over HTTP, with limits for its size and its time."""

from __future__ import annotations

import http.client
import threading
import time
import urllib.error
import urllib.request

import tqdm

_TIMEOUT_SECONDS = 15.0  # without a single byte
# After the first seconds, a download must have this speed on average. So a file of N bytes has
# N / 10,000 + 30 seconds in all, however the server spreads its bytes over them.
_GRACE_SECONDS = 30.0
_LEAST_BYTES_PER_SECOND = 10_000
_POLL_SECONDS = 0.2
_BLOCK_BYTES = 1 << 16
_MOST_DIGITS = 18  # of a Content-Length; more do not fit into int64


class MirrorError(Exception):
    """A mirror did not deliver the file; `transient` if another attempt may succeed."""

    def __init__(self, message: str, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


def download(url: str, name: str, most_bytes: int) -> bytes:
    """Returns the complete response, in memory.

    On a terminal, stderr shows a progress bar.

    Args:
        url: its address.
        name: shown in front of the progress bar.
        most_bytes: a longer response is an error as soon as its length is known.

    Raises:
        MirrorError: there is no complete response of at most this length in time.
    """
    transfer = _Transfer(url, most_bytes)
    started = time.monotonic()
    transfer.start()
    try:
        with tqdm.tqdm(desc=name, unit="B", unit_scale=True, disable=None) as progress:
            while transfer.is_alive():
                transfer.join(_POLL_SECONDS)
                progress.total = transfer.expected
                progress.update(len(transfer.received) - progress.n)
                seconds = time.monotonic() - started
                expected = _LEAST_BYTES_PER_SECOND * (seconds - _GRACE_SECONDS)
                if transfer.is_alive() and len(transfer.received) < expected:
                    raise MirrorError(
                        f"{url}: too slow: {len(transfer.received)} bytes after {seconds:.0f} "
                        f"seconds, less than {_LEAST_BYTES_PER_SECOND} per second",
                        transient=False,
                    )
    finally:
        transfer.is_wanted = False
    if transfer.error is not None:
        raise transfer.error
    return bytes(transfer.received)


class _Transfer(threading.Thread):
    """The transfer itself, which its owner can abandon.

    No limit of the standard library covers a server that sends its headers byte by byte, a slow
    name server or a slow TLS handshake. A thread is left alone instead; it ends with the process.

    Attributes:
        received: what has arrived.
        expected: number of bytes of the response, where the server has said it.
        error: why it failed; None if it did not.
        is_wanted: set to False to stop it at its next block.
    """

    def __init__(self, url: str, most_bytes: int) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._most_bytes = most_bytes
        self.received = bytearray()
        self.expected: int | None = None
        self.error: MirrorError | None = None
        self.is_wanted = True

    def run(self) -> None:
        """Receives the response, or says in `error` why it could not."""
        url = self._url
        try:
            self._receive()
        except MirrorError as error:
            self.error = error
        except urllib.error.HTTPError as error:
            error.close()
            transient = error.code in (408, 429) or error.code >= 500
            self.error = MirrorError(f"{url}: HTTP {error.code} {error.reason}", transient)
        # ValueError: of headers that http.client and urllib do not understand.
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
            self.error = MirrorError(f"{url}: {reason}", transient=True)

    def _receive(self) -> None:
        with urllib.request.urlopen(self._url, timeout=_TIMEOUT_SECONDS) as response:
            length = response.headers.get("Content-Length") or ""
            if length.isdecimal():
                if len(length) > _MOST_DIGITS or int(length) > self._most_bytes:
                    raise self._too_long(f"Content-Length {length[:_MOST_DIGITS]}")
                self.expected = int(length)
            # read() would wait for a whole block.
            while self.is_wanted and (block := response.read1(_BLOCK_BYTES)):
                self.received += block
                if len(self.received) > self._most_bytes:
                    raise self._too_long("a longer response")
        # When it reads in blocks, http.client treats a lost connection as the end of the file.
        if self.expected is not None and len(self.received) != self.expected:
            raise MirrorError(
                f"{self._url}: connection lost after {len(self.received)} of {self.expected} bytes",
                transient=True,
            )

    def _too_long(self, found: str) -> MirrorError:
        return MirrorError(
            f"{self._url}: expected at most {self._most_bytes} bytes, found {found}",
            transient=False,
        )
