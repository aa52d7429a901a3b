"""What a loss of power leaves: only what was synced is sure to be on the disk.

A run is stopped at every operation on a file. From what it has synced by then, two disks are made:
one on which all names survived but the content of a file is that of its last sync, and one on which
a folder also has only the names of its last sync. The same command must end bit for bit on both,
and must not lose a checkpoint before the one that was being written.
"""

import random
import re
import shutil
import signal
from pathlib import Path

import pytest
from faults.tiny_runs import Fault, difference, state_key

pytestmark = pytest.mark.faults
MOST_STATES = 60


class Disk:
    """What is sure to be on the disk below a folder, followed from operation to operation."""

    def __init__(self, cwd):
        self._cwd = cwd
        self._contents = {}  # Of the last sync, by inode.
        self._names = {}  # Of the last sync, by the inode of the folder: name -> inode, is folder.

    def follow(self):
        """Forgets files that are gone: the number of an inode is used again."""
        live = {path.stat().st_ino for path in self._cwd.rglob("*")}
        kept = live | {inode for names in self._names.values() for inode, _ in names.values()}
        self._contents = {inode: c for inode, c in self._contents.items() if inode in kept}
        self._names = {inode: names for inode, names in self._names.items() if inode in live}

    def sync(self, path):
        """Notes what a sync is about to make sure."""
        if path.is_dir():
            self._names[path.stat().st_ino] = _entries(path)
        elif path.is_file():
            self._contents[path.stat().st_ino] = path.read_bytes()

    def write_contents_lost(self, target):
        """Writes the disk on which names survived, and content as it was synced."""
        for path in sorted(self._cwd.rglob("*")):
            copy = target / path.relative_to(self._cwd)
            if path.is_dir():
                copy.mkdir(parents=True)
            else:
                copy.write_bytes(self._contents.get(path.stat().st_ino, b""))

    def write_names_lost(self, target):
        """Writes the disk on which names that were not synced are lost too."""
        for path in self._cwd.iterdir():
            # The folders of all runs and of all exports are made by the first run alone.
            self._write_folder(path.stat().st_ino, target / path.name)

    def _write_folder(self, inode, target):
        target.mkdir(parents=True)
        for name, (entry, is_folder) in self._names.get(inode, {}).items():
            if is_folder:
                self._write_folder(entry, target / name)
            else:
                (target / name).write_bytes(self._contents.get(entry, b""))


def _entries(folder):
    return {path.name: (path.stat().st_ino, path.is_dir()) for path in folder.iterdir()}


def disks_at_operations(runs, folder):
    """Yields (description, folder, step that may not be lost) of each disk that differs."""
    cwd, log = folder / "stopped", folder / "log"
    cwd.mkdir()
    fault = Fault("signal_each", number=signal.SIGSTOP, log=str(log))
    program = runs.start("train", runs.flags, cwd, fault=fault)
    disk, seen, found = Disk(cwd), set(), []
    for _ in program.stops():
        operation = log.read_text().splitlines()[-1]
        _, what, _, path = operation.split(" ", 3)
        disk.follow()
        steps = [int(p.stem[5:]) for p in (cwd / "runs/tiny/ckpt").glob("ckpt-*.index")]
        for write in (disk.write_contents_lost, disk.write_names_lost):
            target = folder / f"{write.__name__}_{len(found)}"
            target.mkdir()
            write(target)
            key = state_key(target)
            if key in seen:
                shutil.rmtree(target)
            else:
                seen.add(key)
                kept = sorted(steps)[-2] if len(steps) > 1 else 0
                found.append((f"{write.__name__} before {operation}", target, kept))
        if what == "sync":
            disk.sync(Path(path))
    assert program.finish().code == 0
    return found


def test_power_is_lost_at_every_operation(runs, whole, tmp_path, count):
    disks = disks_at_operations(runs, tmp_path)
    chosen = sorted(random.Random(0).sample(range(len(disks)), min(MOST_STATES, len(disks))))
    wrong = []
    for name, cwd, kept in (disks[index] for index in chosen):
        outcome = runs.train(cwd)
        complaint = outcome.complaint() or (outcome.code and f"exit {outcome.code}: {outcome.err}")
        complaint = complaint or difference(whole, cwd)
        resumed = re.search(r"Resuming at step (\d+)", outcome.out)
        if not complaint and kept and "is finished" not in outcome.out:
            step = int(resumed[1]) if resumed else 0
            complaint = "" if step >= kept else f"resumed at step {step}, {kept} was saved"
        if complaint:
            wrong.append(f"{name}: {complaint}")
        else:
            shutil.rmtree(cwd)
    count("loss of power", different_disks=len(disks), tried=len(chosen), failed=len(wrong))
    assert not wrong, "\n".join(wrong)
