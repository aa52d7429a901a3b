"""Ends a process when Python opens a network connection; for processes with this on PYTHONPATH.

What C++ opens does not pass here; Python's imports, downloads and reports do.
"""

import os
import socket
import sys

EXIT_CODE = 99


def end_process(event, arguments):
    if event not in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        return
    if event == "socket.connect" and arguments[0].family == socket.AF_UNIX:
        return
    os.write(2, f"network: {event} {arguments}\n".encode())
    os._exit(EXIT_CODE)


sys.addaudithook(end_process)
