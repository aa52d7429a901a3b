"""Signals at any moment: a true sentence, the documented exit code, and nothing lost."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from faults.tiny_runs import TRAIN, Fault, Outcome, check_results, difference

pytestmark = pytest.mark.faults

SIGNALS = {"SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT, "SIGHUP": signal.SIGHUP}


def saved_steps(cwd):
    names = (cwd / "runs" / "tiny" / "ckpt").glob("ckpt-*.index")
    return sorted(int(path.name.split("-")[1].split(".")[0]) for path in names)


def stop_complaint(outcome, cwd):
    """Returns what is wrong with the answer to a signal: code and sentence have to be true."""
    if outcome.complaint():
        return outcome.complaint()
    if outcome.code == 0:
        return ""
    steps = saved_steps(cwd)
    if outcome.code not in (75, 130):
        return f"exit code {outcome.code}: {outcome.err}"
    if outcome.code == 130 and steps:
        return f"exit code 130 with steps {steps} saved: {outcome.err}"
    said = re.search(r"saved at step (\d+)", outcome.err)
    if said and int(said[1]) != steps[-1]:
        return f"says step {said[1]}, saved are {steps}"
    if steps and re.search(r"nothing|before there was anything", outcome.err):
        return f"says that there is nothing, saved are {steps}: {outcome.err}"
    if outcome.code == 75 and not re.search(r"SIG(TERM|INT|HUP)", outcome.err):
        return f"does not name the signal: {outcome.err}"
    return ""


def resumed_complaint(runs, whole, cwd):
    outcome = runs.train(cwd)
    if outcome.code:
        return f"afterwards exit code {outcome.code}: {outcome.err}"
    return difference(whole, cwd)


@pytest.mark.parametrize("name", SIGNALS)
def test_at_random_moments(runs, whole, tmp_path, count, name):
    """Over tracing, training, measuring, figures and export."""
    generator = random.Random(name)
    (tmp_path / "timed").mkdir()
    length = runs.train(tmp_path / "timed").seconds
    results, codes = {}, []
    for index in range(30):
        cwd = tmp_path / f"run_{index}"
        cwd.mkdir()
        program = runs.start("train", runs.flags, cwd)
        moment = generator.uniform(0.3, length)
        time.sleep(moment)
        program.send(SIGNALS[name])
        outcome = program.finish()
        codes.append(outcome.code)
        complaint = stop_complaint(outcome, cwd) or resumed_complaint(runs, whole, cwd)
        results[f"{name} after {moment:.2f} of {length:.2f} s"] = complaint
        shutil.rmtree(cwd)
    check_results(count, f"{name} at random moments, exit codes {sorted(set(codes))}", results)


def test_at_operations_on_files(runs, whole, tmp_path, count):
    """Among them moments that are too short to be met by chance."""
    cwd, log = tmp_path / "logged", tmp_path / "log"
    cwd.mkdir()
    assert runs.train(cwd, fault=Fault(log=str(log))).code == 0
    operations = len(log.read_text().splitlines())
    generator = random.Random(0)
    results = {}
    for at in sorted(generator.sample(range(1, operations + 1), 40)):
        cwd = tmp_path / f"run_{at}"
        cwd.mkdir()
        name = generator.choice(sorted(SIGNALS))
        outcome = runs.train(cwd, fault=Fault("signal_once", at=at, number=SIGNALS[name]))
        complaint = stop_complaint(outcome, cwd) or resumed_complaint(runs, whole, cwd)
        results[f"{name} at operation {at} of {operations}"] = complaint
        shutil.rmtree(cwd)
    check_results(count, "signals at operations on files", results)


@pytest.mark.parametrize("name", SIGNALS)
def test_during_start_up(tmp_path, count, name):
    """In processes of their own, which import TensorFlow."""
    generator = random.Random(name)
    results = {}
    for index in range(6):
        cwd = tmp_path / f"run_{index}"
        cwd.mkdir()
        start = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "vae_lowlevel.train", *TRAIN],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        # Python itself needs a moment until the program has begun.
        moment = generator.uniform(0.6, 4)
        time.sleep(moment)
        process.send_signal(SIGNALS[name])
        out, err = process.communicate(timeout=60)
        outcome = Outcome(process.returncode, out, err, time.monotonic() - start)
        complaint = stop_complaint(outcome, cwd)
        if not complaint and outcome.seconds - moment > 10:
            complaint = f"{outcome.seconds - moment:.1f} s until the end"
        results[f"{name} after {moment:.2f} s"] = complaint
    check_results(count, f"{name} during start-up", results)
