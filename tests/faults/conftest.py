"""The server of runs, an unbroken run, and the table of counts at the end of the campaign."""

import pytest
from faults.tiny_runs import Runs, build_library


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    library = build_library(folder)
    if library is None:
        pytest.skip("needs Linux and a C compiler (cc)")
    server = Runs(folder, library)
    yield server
    server.close()


@pytest.fixture(scope="session")
def whole(runs, tmp_path_factory):
    """The folder of an unbroken run."""
    cwd = tmp_path_factory.mktemp("unbroken") / "whole"
    cwd.mkdir()
    outcome = runs.train(cwd, replay=True)
    assert outcome.code == 0, outcome.err
    return cwd


@pytest.fixture
def count(record_property):
    """Notes a row of the table that is printed at the end: what was done, and how often."""

    def note(what, **counts):
        record_property("faults", (what, counts))

    return note


def pytest_terminal_summary(terminalreporter):
    rows = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in report.user_properties
        if name == "faults"
    ]
    if rows:
        terminalreporter.section("faults")
    for what, counts in rows:
        shown = ", ".join(f"{name} {number}" for name, number in counts.items())
        terminalreporter.write_line(f"{what}: {shown}")
