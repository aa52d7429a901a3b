"""Full disks, failing disks, read-only disks and folders that vanish: one line, nothing lost."""

import contextlib
import errno
import os
import random
import re
import shutil
import subprocess
import time

import pytest
from faults.tiny_runs import STEPS, Fault, check_results, difference, left_behind

pytestmark = pytest.mark.faults

# A run writes about 0.3 MB, its export 0.9 MB.
SIZES_KB = (4, 8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 160, 192, 256, 320, 400, 512, 700, 900)
ERRNOS = {"ENOSPC": errno.ENOSPC, "EDQUOT": errno.EDQUOT, "EROFS": errno.EROFS, "EIO": errno.EIO}


@contextlib.contextmanager
def mounted(folder, size_kb):
    """Mounts a disk of a size in memory; skips where that is not permitted."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def refusal_complaint(outcome):
    """Returns what is wrong with the answer to a fault: which place, and how to go on."""
    if outcome.complaint():
        return outcome.complaint()
    if outcome.code == 0:
        return ""
    if outcome.code not in (1, 2):
        return f"exit code {outcome.code}"
    if not re.search(r"runs|saved_models", outcome.err):
        return f"does not name the place: {outcome.err}"
    return ""


def fault_complaint(runs, whole, cwd, outcome):
    """Returns what is wrong with the answer, or with the end of the same command afterwards."""
    complaint = refusal_complaint(outcome)
    if complaint:
        return complaint
    if outcome.code:
        outcome = runs.train(cwd)
        if outcome.code:
            return f"afterwards exit code {outcome.code}: {outcome.err}"
    return difference(whole, cwd)


def test_disks_of_several_sizes_are_full(runs, whole, tmp_path, count):
    results = {}
    for size in SIZES_KB:
        cwd = tmp_path / f"disk_{size}"
        with mounted(cwd, size):
            outcome = runs.train(cwd)
            remount(cwd, "size=16m")
            results[f"{size} kB, exit {outcome.code}"] = fault_complaint(runs, whole, cwd, outcome)
    check_results(count, "full disk, sizes of a tmpfs", results)


@pytest.mark.parametrize("name", ERRNOS)
def test_writing_fails_from_an_operation_on(runs, whole, tmp_path, count, name):
    operations = logged_operations(runs, tmp_path)
    generator = random.Random(name)
    chosen = sorted(generator.sample(range(1, operations + 1), 25))
    results = {}
    for action in ("fail_from", "fail_once"):
        for at in chosen:
            cwd = tmp_path / f"{action}_{at}"
            cwd.mkdir()
            outcome = runs.train(cwd, fault=Fault(action, at=at, number=ERRNOS[name]))
            complaint = fault_complaint(runs, whole, cwd, outcome)
            results[f"{action} {at} of {operations}"] = complaint
            shutil.rmtree(cwd)
    check_results(count, f"{name} at operations", results)


def logged_operations(runs, folder):
    """Returns how many operations on files a run has."""
    cwd, log = folder / "logged", folder / "log"
    cwd.mkdir()
    assert runs.train(cwd, fault=Fault(log=str(log))).code == 0
    return len(log.read_text().splitlines())


@pytest.mark.parametrize("program", ["train", "evaluate", "export", "inference"])
def test_read_only_disk(runs, whole, tmp_path, count, program):
    cwd = tmp_path / "disk"
    flags = {
        "train": ("--flagfile=runs/tiny/flags.cfg", "--epochs=3"),
        "evaluate": ("--model_dir=runs/tiny",),
        "export": ("--model_dir=runs/tiny", "--export_dir=saved_models"),
        "inference": ("--command=sample", "--model_dir=runs/tiny", "--output=runs/out.npz"),
    }[program]
    with mounted(cwd, 16_384):
        for name in ("runs", "saved_models"):
            shutil.copytree(whole / name, cwd / name)
        remount(cwd, "ro")
        outcome = runs.run(program, flags, cwd)
        assert outcome.code in (1, 2), outcome.out
        assert not refusal_complaint(outcome)
        if program == "train":
            new = runs.train(cwd, "--model_dir=runs/new")
            assert new.code in (1, 2)
            assert not refusal_complaint(new)
        remount(cwd, "rw")
        assert not difference(whole, cwd)
    count("read-only disk", cases=1 + (program == "train"), failed=0)


@pytest.mark.parametrize("seed", range(10))
def test_disk_becomes_read_only_while_running(runs, whole, tmp_path, count, seed):
    cwd = tmp_path / "disk"
    with mounted(cwd, 16_384):
        program = runs.start("train", runs.flags, cwd)
        time.sleep(random.Random(seed).uniform(0.3, 5))
        for _ in range(1000):
            # A remount is refused while a file is open for writing.
            command = ["mount", "-o", "remount,ro", str(cwd)]
            if not subprocess.run(command, capture_output=True).returncode:
                break
        outcome = program.finish()
        remount(cwd, "rw")
        complaint = fault_complaint(runs, whole, cwd, outcome)
    count("disk becomes read-only", cases=1, failed=int(bool(complaint)))
    assert not complaint


@pytest.mark.parametrize("seed", range(15))
def test_folder_vanishes_while_running(runs, whole, tmp_path, count, seed):
    program = runs.start("train", runs.flags, tmp_path)
    time.sleep(random.Random(seed).uniform(0.3, 5))
    for name in ("runs", "saved_models"):
        if (tmp_path / name).exists():
            # Out of the way in one step, as `mv` does; then for good.
            (tmp_path / name).rename(tmp_path / f"gone_{name}")
            shutil.rmtree(tmp_path / f"gone_{name}", ignore_errors=True)
    outcome = program.finish()
    complaint = refusal_complaint(outcome)
    if not complaint:
        for name in ("runs", "saved_models"):
            shutil.rmtree(tmp_path / name, ignore_errors=True)
        outcome = runs.train(tmp_path)
        complaint = outcome.err if outcome.code else difference(whole, tmp_path)
    count("folder removed while running", cases=1, failed=int(bool(complaint)))
    assert not complaint


def test_a_short_disk_for_the_export_alone(runs, whole, tmp_path, count):
    """The run is on a sound disk; the export's disk is full, then larger."""
    results = {}
    for size in (4, 64, 300, 600):
        cwd = tmp_path / f"run_{size}"
        cwd.mkdir()
        with mounted(cwd / "saved_models", size):
            outcome = runs.train(cwd)
            complaint = "" if outcome.code == 1 else f"exit code {outcome.code}"
            staged = list((cwd / "saved_models").rglob("*"))
            if not complaint and any(path.is_file() for path in staged):
                complaint = f"left on the full disk: {staged}"
            remount(cwd / "saved_models", "size=16m")
            results[f"{size} kB"] = complaint or fault_complaint(runs, whole, cwd, outcome)
            assert not left_behind(cwd) or results[f"{size} kB"]
    assert STEPS == 8
    check_results(count, "full disk of the export alone", results)
