"""Limits of size and time, against a server on 127.0.0.1."""

import time

import pytest

from vae_lowlevel.data import transfer


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(transfer, "_GRACE_SECONDS", 0.1)
    monkeypatch.setattr(transfer, "_POLL_SECONDS", 0.02)


def refused(url, most_bytes):
    started = time.monotonic()
    with pytest.raises(transfer.MirrorError) as caught:
        transfer.download(url, "f", most_bytes)
    assert time.monotonic() - started < 2.0
    return caught.value


def test_what_arrives_in_time_is_returned(mirror, answer, impatient):
    mirror.answers["/f"] = [answer(body=b"content" * 9)]
    assert transfer.download(mirror.url + "f", "f", 63) == b"content" * 9


def test_a_larger_content_length_is_refused_before_the_content(mirror, answer):
    for missing in (1, 10**12, 10**40):
        mirror.answers["/f"] = [answer(body=b"content", missing=missing, slow="body")]
        error = refused(mirror.url + "f", 7)
        assert "f: expected at most 7 bytes, found Content-Length" in str(error)
        assert not error.transient


def test_an_endless_body_is_stopped(mirror, answer):
    mirror.answers["/f"] = [answer(body=bytes(10_000), endless=True)]
    error = refused(mirror.url + "f", 50_000)
    assert "expected at most 50000 bytes, found a longer response" in str(error)
    assert not error.transient
    time.sleep(0.05)
    sent = mirror.sent
    time.sleep(0.05)
    assert mirror.sent == sent  # Hung up, not left to run.


@pytest.mark.parametrize("slow", ["headers", "body"])
def test_a_server_that_sends_byte_by_byte_is_given_up(mirror, answer, impatient, slow):
    mirror.answers["/f"] = [answer(missing=10**6, slow=slow)]
    error = refused(mirror.url + "f", 10**6)
    assert "too slow" in str(error)
    assert "less than 10000 per second" in str(error)
    assert not error.transient
