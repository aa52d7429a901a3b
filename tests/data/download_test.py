import errno
import gzip
import hashlib
import io
import pathlib
import socket
import sys
import threading

import pytest

from vae_lowlevel.data import download, transfer
from vae_lowlevel.errors import DataError

CONTENT = b"what the file holds, " * 5000
SUM = hashlib.sha256(CONTENT).hexdigest()
KNOWN = download.KnownContent(SUM, len(CONTENT))
PACKED = gzip.compress(CONTENT)


def dead_url():
    """Returns the address of a port on which no server listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


def test_a_transient_error_is_tried_again_after_a_wait(tmp_path, mirror, answer, waits):
    mirror.answers["/f.gz"] = [answer(503), answer(429), answer(200, PACKED)]
    path = download.fetch("f.gz", [mirror.url], tmp_path / "new" / "folder", KNOWN)
    assert path == tmp_path / "new" / "folder" / "f.gz"
    assert path.read_bytes() == PACKED
    assert len(mirror.requested) == 3
    assert waits == [0, *sorted(waits[1:])]
    assert waits[1] > 0


def test_the_next_mirror_is_tried_before_any_wait(tmp_path, mirror, answer, waits):
    mirror.answers["/b/f.gz"] = [answer(200, PACKED)]
    download.fetch("f.gz", [dead_url(), mirror.url + "b/"], tmp_path, KNOWN)
    assert waits == [0]


@pytest.mark.parametrize(
    "wrong",
    [gzip.compress(b"another file"), PACKED[:-9], b"<html>Log in to the network</html>"],
    ids=["sum", "gzip", "page"],
)
def test_a_mirror_with_wrong_content_is_not_tried_again(tmp_path, mirror, answer, waits, wrong):
    mirror.answers["/a/f.gz"] = [answer(200, wrong)]
    mirror.answers["/b/f.gz"] = [answer(503), answer(200, PACKED)]
    path = download.fetch("f.gz", [mirror.url + "a/", mirror.url + "b/"], tmp_path, KNOWN)
    assert path.read_bytes() == PACKED
    assert mirror.requested == ["/a/f.gz", "/b/f.gz", "/b/f.gz"]


def test_content_decompressed_on_the_way_is_accepted(tmp_path, mirror, answer, waits):
    mirror.answers["/f.gz"] = [answer(200, CONTENT)]
    assert download.fetch("f.gz", [mirror.url], tmp_path, KNOWN).read_bytes() == CONTENT


def test_a_broken_connection_is_tried_again(tmp_path, mirror, answer, waits):
    mirror.answers["/f.gz"] = [answer(200, PACKED[:50], missing=9), answer(200, PACKED)]
    assert download.fetch("f.gz", [mirror.url], tmp_path, KNOWN).read_bytes() == PACKED


def test_a_silent_server_times_out(tmp_path, monkeypatch, waits):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(transfer, "_TIMEOUT_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(DataError, match=f"{url}f.gz: timed out"):
            download.fetch("f.gz", [url], tmp_path, KNOWN)
    assert len(waits) == 3


def test_if_all_fail_the_error_names_each_failure_and_the_remedy(tmp_path, mirror, answer, waits):
    mirror.answers["/busy/f.gz"] = [answer(503)]
    mirror.answers["/cut/f.gz"] = [answer(200, PACKED[:50], missing=9)]
    mirror.answers["/wrong/f.gz"] = [answer(200, b"another file")]
    mirrors = [mirror.url + name for name in ("busy/", "cut/", "gone/", "wrong/")] + [dead_url()]
    with pytest.raises(DataError) as caught:
        download.fetch("f.gz", mirrors, tmp_path / "wanted", KNOWN)
    lines = str(caught.value).splitlines()
    assert len(lines) == 7
    expected = ("HTTP 503", "50 of 59 bytes", "HTTP 404", f"expected SHA-256 {SUM}, found", "refus")
    for base, reason, line in zip(mirrors, expected, lines[1:6], strict=True):
        assert base + "f.gz: " in line
        assert reason in line
    assert str(tmp_path / "wanted") in lines[6]
    assert "--data_dir=<folder>" in lines[6]
    assert list((tmp_path / "wanted").iterdir()) == []
    assert mirror.requested.count("/busy/f.gz") == 3
    assert mirror.requested.count("/gone/f.gz") == mirror.requested.count("/wrong/f.gz") == 1


def test_after_permanent_errors_there_is_no_wait(tmp_path, mirror, waits):
    with pytest.raises(DataError, match="HTTP 404"):
        download.fetch("f.gz", [mirror.url], tmp_path, KNOWN)
    assert waits == [0]


def test_an_interruption_leaves_no_file(tmp_path, mirror, answer, monkeypatch):
    mirror.answers["/f.gz"] = [answer(200, PACKED)]
    seen = []

    def interrupt(part, _):
        seen.append(part.read_bytes())
        raise KeyboardInterrupt

    monkeypatch.setattr(pathlib.Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        download.fetch("f.gz", [mirror.url], tmp_path, KNOWN)
    assert seen == [PACKED]  # The complete file, before the rename.
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_not_an_error_of_the_mirror(tmp_path, mirror, answer, monkeypatch):
    mirror.answers["/f.gz"] = [answer(200, PACKED)]

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "write_bytes", full)
    with pytest.raises(DataError, match=r"writable folder for downloads.*No space left"):
        download.fetch("f.gz", [mirror.url], tmp_path, KNOWN)
    assert mirror.requested == ["/f.gz"]


def test_a_folder_that_cannot_be_created_is_found_before_the_download(tmp_path, mirror):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="Not a directory"):
        download.fetch("f.gz", [mirror.url], tmp_path / "file" / "folder", KNOWN)
    assert mirror.requested == []


def test_two_downloads_at_once_do_not_disturb_each_other(tmp_path, mirror, answer, monkeypatch):
    """Both have a complete temporary file at the same moment."""
    mirror.answers["/f.gz"] = [answer(200, PACKED)]
    both_written = threading.Barrier(2, timeout=10)
    rename = pathlib.Path.replace
    parts, paths = [], []

    def meet_and_rename(part, path):
        parts.append(part)
        both_written.wait()
        return rename(part, path)

    monkeypatch.setattr(pathlib.Path, "replace", meet_and_rename)

    def run():
        paths.append(download.fetch("f.gz", [mirror.url], tmp_path, KNOWN))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(parts)) == 2
    assert paths == [tmp_path / "f.gz"] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["f.gz"]
    assert paths[0].read_bytes() == PACKED


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stderr", [Terminal(), io.StringIO()], ids=["terminal", "pipe"])
def test_progress_is_shown_only_on_terminals(tmp_path, mirror, answer, monkeypatch, stderr):
    mirror.answers["/f.gz"] = [answer(200, PACKED)]
    monkeypatch.setattr(sys, "stderr", stderr)
    download.fetch("f.gz", [mirror.url], tmp_path, KNOWN)
    shown = stderr.getvalue()
    assert ("f.gz" in shown and "100%" in shown) if stderr.isatty() else shown == ""
