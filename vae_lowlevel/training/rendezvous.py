"""Waits until the workers of a cluster are all there.

TensorFlow waits for them too, but in one call that holds Python's lock: no signal would end it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from vae_lowlevel.errors import RunError

# Workers that have met are a moment apart; a device takes seconds to start.
JOIN_SECONDS = 60.0

_POLL_SECONDS = 0.1
_CONNECT_SECONDS = 2.0
_REPORT_SECONDS = 30.0

_TELL = """
import sys
if sys.stdin.buffer.read(1):
    print(sys.argv[1], file=sys.stderr, flush=True)
"""


def wait_for_workers(addresses: Sequence[str], index: int) -> None:
    """Returns when every worker waits here, or is already a step further.

    Meanwhile this worker accepts connections at its own address, where TensorFlow will do so later.

    Args:
        addresses: host:port of each worker.
        index: which of them this process is.

    Raises:
        RunError: the port of this worker is in use, or it may not be opened.
    """
    print(f"worker {index} of {len(addresses)} waits for the others", flush=True)
    missing = [address for other, address in enumerate(addresses) if other != index]
    report = time.monotonic() + _REPORT_SECONDS
    with _listen(addresses[index]):
        while missing := [address for address in missing if not _answers(address)]:
            if time.monotonic() > report:
                report += _REPORT_SECONDS
                print(f"worker {index} still waits for {', '.join(missing)}", flush=True)
            time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def exit_after(seconds: float, message: str) -> Iterator[None]:
    """Ends the process with exit code 1 if its body takes longer, even if no Python code can run.

    Args:
        seconds: longest time of the body.
        message: printed to stderr, by a process that waits for it.
    """
    command = [sys.executable, "-I", "-S", "-c", _TELL, message]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as telling:
        # The timer is a thread without Python's lock. That it writes anything is what counts.
        faulthandler.dump_traceback_later(seconds, exit=True, file=telling.stdin)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def _listen(address: str) -> socket.socket:
    port = int(address.rpartition(":")[2])
    is_dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if is_dual else socket.AF_INET
    try:
        return socket.create_server(("", port), family=family, dualstack_ipv6=is_dual)
    except (OSError, OverflowError) as error:
        raise RunError(
            f"{address}, this worker's own address, cannot be opened: {error}. Stop what uses the "
            "port, perhaps an earlier worker, or choose another one"
        ) from error


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
    except OSError:  # Also a name that does not exist yet, as of a pod that has not started.
        return False
    return True
