"""`kill -9` at every file operation and at random moments: the same command resumes bit for bit."""

import random
import shutil
import signal
import time

import pytest
from faults.tiny_runs import Fault, copy_state, difference, left_behind, state_key

MOMENTS = 100
pytestmark = pytest.mark.faults


def resumed(runs, whole, cwd, **keywords):
    """Gives the command again; returns what is wrong with its end, "" for nothing."""
    outcome = runs.train(cwd)
    wrong = outcome.complaint() or (outcome.code and f"exit code {outcome.code}: {outcome.err}")
    return wrong or difference(whole, cwd, **keywords)


def states_at_operations(runs, folder):
    """Stops a run at every operation on a file, and copies what `kill -9` there would leave.

    Returns:
        (the operation that comes next, copy of the folders) of each state that differs from those
        before it, and how many operations there were.
    """
    cwd, log = folder / "stopped", folder / "log"
    cwd.mkdir()
    program = runs.start(
        "train", runs.flags, cwd, fault=Fault("signal_each", number=signal.SIGSTOP, log=str(log))
    )
    found, seen = [], set()
    for index, _ in enumerate(program.stops()):
        key = state_key(cwd)
        if key not in seen:
            seen.add(key)
            found.append((index, copy_state(cwd, folder / f"state_{index}")))
    outcome = program.finish()
    assert outcome.code == 0, outcome.err
    operations = log.read_text().splitlines()
    return [(operations[index], state) for index, state in found], len(operations)


def test_killed_at_every_file_operation(runs, whole, tmp_path, count):
    states, operations = states_at_operations(runs, tmp_path)
    wrong = []
    for operation, state in states:
        complaint = resumed(runs, whole, state)
        if complaint:
            wrong.append(f"{operation}: {complaint}")
        else:
            shutil.rmtree(state)
    count(
        "kill -9 at every file operation",
        operations=operations,
        different_states=len(states),
        failed=len(wrong),
    )
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_moments(runs, whole, tmp_path, count, seed):
    generator = random.Random(seed)
    (tmp_path / "timed").mkdir()
    length = runs.train(tmp_path / "timed").seconds
    wrong, killed = [], 0
    for index in range(MOMENTS // 4):
        cwd = tmp_path / f"killed_{index}"
        cwd.mkdir()
        program = runs.start("train", runs.flags, cwd)
        moment = generator.uniform(0, length)
        time.sleep(moment)
        program.send(signal.SIGKILL)
        killed += program.finish().code == -signal.SIGKILL
        # The first of each seed is also asked what its export answers.
        complaint = resumed(runs, whole, cwd, with_answers=not index)
        if complaint:
            wrong.append(f"after {moment:.2f} of {length:.2f} s: {complaint}")
        else:
            shutil.rmtree(cwd)
    count("kill -9 at random moments", killed=killed, failed=len(wrong))
    assert not wrong, "\n".join(wrong)


def test_killed_again_and_again(runs, whole, tmp_path, count):
    """Killed and resumed until it ends: nothing adds up."""
    generator = random.Random(0)
    (tmp_path / "timed").mkdir()
    length = runs.train(tmp_path / "timed").seconds
    shutil.rmtree(tmp_path / "timed")
    kills = 0
    for _ in range(40):
        program = runs.start("train", runs.flags, tmp_path)
        if kills < 12:
            time.sleep(generator.uniform(0.1, 0.6) * length)
            program.send(signal.SIGKILL)
        outcome = program.finish()
        if outcome.code == 0:
            break
        assert outcome.code == -signal.SIGKILL, outcome.err
        kills += 1
    assert kills >= 3
    assert not difference(whole, tmp_path)
    assert not left_behind(tmp_path)
    count("one run killed again and again", kills=kills)
