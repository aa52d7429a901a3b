"""Two workers on loopback: one is killed or stopped at random moments, or waits for the other."""

import json
import random
import shutil
import signal
import time

import pytest
from faults.tiny_runs import check_results, difference
from free_ports import free_ports

pytestmark = pytest.mark.faults

MULTI_WORKER = ("--distribution_strategy=multi_worker_mirrored", "--epochs=12")
# Within "about ten seconds" (docs/scaling.md), twice that on a machine that does other work too;
# while the workers join each other, 60 seconds.
MOST_SECONDS, MOST_JOIN_SECONDS = 20, 65


def start_workers(runs, cwd, count=2):
    """Starts the first `count` of two workers."""
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    programs = []
    for index in range(count):
        task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
        environment = {"TF_CONFIG": json.dumps(task)}
        flags = (*runs.flags, *MULTI_WORKER)
        programs.append(runs.start("train", flags, cwd, environment=environment))
    return programs


@pytest.fixture(scope="module")
def whole_of_two(runs, tmp_path_factory):
    cwd = tmp_path_factory.mktemp("two") / "whole"
    cwd.mkdir()
    start = time.monotonic()
    outcomes = [program.finish() for program in start_workers(runs, cwd)]
    assert [outcome.code for outcome in outcomes] == [0, 0], outcomes
    return cwd, time.monotonic() - start


def resumed_complaint(runs, whole, cwd):
    outcomes = [program.finish() for program in start_workers(runs, cwd)]
    if [outcome.code for outcome in outcomes] != [0, 0]:
        return f"afterwards: {outcomes}"
    return difference(whole, cwd)


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP"])
def test_one_of_two(runs, whole_of_two, tmp_path, count, victim, name):
    whole, length = whole_of_two
    generator = random.Random(f"{victim} {name}")
    results, longest = {}, 0.0
    for index in range(4):
        cwd = tmp_path / f"run_{index}"
        cwd.mkdir()
        programs = start_workers(runs, cwd)
        moment = generator.uniform(1, length)
        time.sleep(moment)
        is_running = programs[victim].send(getattr(signal, name))
        start = time.monotonic()
        outcomes = [program.finish() for program in programs]
        seconds = time.monotonic() - start
        longest = max(longest, seconds)
        allowed = {1, 0} if name == "SIGKILL" else {75, 0, 1}
        complaint = outcomes[1 - victim].complaint()
        if name != "SIGKILL":
            complaint = complaint or outcomes[victim].complaint()
        if not complaint and outcomes[1 - victim].code not in allowed:
            complaint = f"exit code {outcomes[1 - victim].code}: {outcomes[1 - victim].err}"
        has_trained = "step" in outcomes[0].out
        most = MOST_SECONDS if has_trained else MOST_JOIN_SECONDS
        if not complaint and seconds > most and is_running:
            complaint = f"the end took {seconds:.1f} s"
        complaint = complaint or resumed_complaint(runs, whole, cwd)
        results[f"worker {victim}, {name} after {moment:.1f} of {length:.1f} s"] = complaint
        shutil.rmtree(cwd)
    check_results(count, f"two workers, {name} to one", results, longest_seconds=f"{longest:.1f}")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_worker_that_waits_for_the_others(runs, tmp_path, count, name):
    (program,) = start_workers(runs, tmp_path, count=1)
    time.sleep(5)
    start = time.monotonic()
    program.send(getattr(signal, name))
    # Where that does not help, it is killed, so that the test ends.
    while program.is_running() and time.monotonic() - start < 15:
        time.sleep(0.1)
    seconds = time.monotonic() - start
    program.send(signal.SIGKILL)
    outcome = program.finish()
    check_results(
        count,
        "a waiting worker",
        {name: outcome.complaint() or (outcome.code not in (75, 130) and f"code {outcome.code}")},
        longest_seconds=f"{seconds:.1f}",
    )
    assert seconds < 10
