"""Each file of a run, damaged in each way: used from a sound state, or refused in one clear line.

Never are results silently other ones, and a run that has checkpoints never begins again.
"""

import errno
import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from faults.tiny_runs import Fault, check_results, copy_state, difference, tree

pytestmark = pytest.mark.faults
RUN = Path("runs", "tiny")


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zero(path):
    path.write_bytes(bytes(path.stat().st_size))


def flip(path, part):
    content = bytearray(path.read_bytes())
    content[int(len(content) * part)] ^= 4
    path.write_bytes(content)


def replace_by_a_folder(path):
    path.unlink()
    path.mkdir()


DAMAGE = {
    "deleted": Path.unlink,
    "truncated": truncate,
    "zeroed": zero,
    "bit flipped at its begin": lambda path: flip(path, 0.02),
    "bit flipped in its middle": lambda path: flip(path, 0.5),
    "bit flipped at its end": lambda path: flip(path, 0.98),
    "emptied": lambda path: path.write_bytes(b""),
    "replaced by a folder": replace_by_a_folder,
}
# The file stays as it is; the program cannot open it.
UNREADABLE = {"unreadable": errno.EACCES, "on a failing disk": errno.EIO}


@pytest.fixture(scope="module")
def unfinished(runs, tmp_path_factory):
    """A run of which the steps 4 and 6 of 8 are saved; its best weights are those of step 4."""
    cwd = tmp_path_factory.mktemp("unfinished")
    run = cwd / RUN

    def is_reached():
        names = {path.name for path in (run / "ckpt").glob("ckpt-*.index")}
        state = run / "ckpt" / "checkpoint"
        return names == {"ckpt-4.index", "ckpt-6.index"} and b"ckpt-6" in state.read_bytes()

    runs.kill_when(cwd, is_reached)
    return cwd


def damaged_copies(source, target, names):
    """Yields (description, copy of the run with one damaged file, fault of the program)."""
    for name in names:
        for kind, damage in DAMAGE.items():
            cwd = copy_state(source, target)
            damage(cwd / RUN / name)
            yield f"{name} {kind}", cwd, None
            shutil.rmtree(cwd)
        for kind, number in UNREADABLE.items():
            cwd = copy_state(source, target)
            fault = Fault("fail_reads", number=number, folders=(str(RUN / name),))
            yield f"{name} {kind}", cwd, fault
            shutil.rmtree(cwd)


def run_files(cwd):
    """Returns the names of the files of a run; of summaries and figures, one each."""
    names = [path.relative_to(cwd / RUN) for path in (cwd / RUN).rglob("*") if path.is_file()]
    names = [name for name in names if "lock" not in name.name]
    kinds = {}
    for name in sorted(names):
        kinds.setdefault(name.parts[0] if len(name.parts) > 1 else str(name), []).append(name)
    few = ("summaries", "figures")
    return list(itertools.chain(*(ns[:1] if kind in few else ns for kind, ns in kinds.items())))


def refusal_complaint(outcome, before, cwd):
    """Returns what is wrong with a refusal: it names the place and leaves everything as it is."""
    if outcome.code not in (1, 2):
        return f"exit code {outcome.code}"
    if "runs/tiny" not in outcome.err:
        return f"does not name the place: {outcome.err}"
    if len(outcome.err) > 2000:
        return f"{len(outcome.err)} characters: {outcome.err[:300]}"
    changed = [name for name, value in tree(cwd).items() if before.get(name, 0) != value]
    changed += [name for name in before if not (cwd / name).exists()]
    return f"refused, but changed {changed}" if changed else ""


def train_complaint(runs, whole, cwd, fault, must_end):
    before = tree(cwd)
    outcome = runs.train(cwd, fault=fault)
    if outcome.complaint():
        return outcome.complaint()
    if outcome.code == 0 and "is finished" in outcome.out:
        # What is damaged then is said by the program that needs it.
        return "" if tree(cwd) == before else "said to be finished, but changed"
    if outcome.code == 0:
        return difference(whole, cwd)
    if must_end:
        return f"not resumed from the sound state before it: {outcome.err}"
    complaint = refusal_complaint(outcome, before, cwd)
    if not complaint and fault is not None:
        # A passing fault: afterwards the same command must work.
        outcome = runs.train(cwd)
        complaint = outcome.err if outcome.code else difference(whole, cwd)
    return complaint


def test_training_that_was_not_finished(runs, whole, unfinished, tmp_path, count):
    results = {}
    for name, cwd, fault in damaged_copies(unfinished, tmp_path / "run", run_files(unfinished)):
        must_end = name.startswith(("ckpt", "best", "summaries")) and fault is None
        results[name] = train_complaint(runs, whole, cwd, fault, must_end)
    check_results(count, "damage: train, unfinished run", results)


def test_training_that_was_finished(runs, whole, tmp_path, count):
    results = {}
    for name, cwd, fault in damaged_copies(whole, tmp_path / "run", run_files(whole)):
        results[name] = train_complaint(runs, whole, cwd, fault, must_end=False)
    check_results(count, "damage: train, finished run", results)


@pytest.mark.parametrize("kind", ["truncated", "zeroed", "deleted"])
@pytest.mark.parametrize("ending", ["index", "data-00000-of-00001"])
def test_no_checkpoint_left_is_no_reason_to_begin_again(runs, unfinished, tmp_path, kind, ending):
    cwd = copy_state(unfinished, tmp_path / "run")
    for path in (cwd / RUN / "ckpt").glob(f"*.{ending}"):
        DAMAGE[kind](path)
    before = tree(cwd)
    outcome = runs.train(cwd)
    assert not outcome.complaint()
    assert not refusal_complaint(outcome, before, cwd)


def test_a_state_file_and_the_newest_checkpoint_damaged(runs, whole, unfinished, tmp_path):
    cwd = copy_state(unfinished, tmp_path / "run")
    (cwd / RUN / "ckpt" / "checkpoint").unlink()
    zero(cwd / RUN / "ckpt" / "ckpt-6.data-00000-of-00001")
    outcome = runs.train(cwd)
    assert outcome.code == 0, outcome.err
    assert "ckpt-6" in outcome.out
    assert "Resuming at step 4" in outcome.out
    assert not difference(whole, cwd)


def evaluated(cwd, outcome):
    test = json.loads((cwd / RUN / "metrics.json").read_text())["test"]
    return test, re.findall(r"^  .*$", outcome.out, re.M)


def exported(cwd, _):
    import tensorflow as tf

    (version,) = (cwd / "new" / "tiny").glob("[0-9]*")
    reader = tf.train.load_checkpoint(str(version / "variables" / "variables"))
    return {
        name: reader.get_tensor(name).tobytes()
        for name in reader.get_variable_to_shape_map()
        if name.endswith("VARIABLE_VALUE")
    }


def sampled(cwd, _):
    with np.load(cwd / "out.npz") as arrays:
        return {name: arrays[name].tobytes() for name in arrays.files}


PROGRAMS = {
    "evaluate": ("evaluate", ("--model_dir=runs/tiny",), evaluated),
    "export": ("export", ("--model_dir=runs/tiny", "--export_dir=new"), exported),
    "inference": (
        "inference",
        ("--command=sample", "--model_dir=runs/tiny", "--output=out.npz"),
        sampled,
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_on_damaged_runs(runs, whole, tmp_path, count, name):
    program, flags, answer = PROGRAMS[name]
    cwd = copy_state(whole, tmp_path / "sound")
    outcome = runs.run(program, flags, cwd)
    assert outcome.code == 0, outcome.err
    wanted = answer(cwd, outcome)
    results = {}
    read = [name for name in run_files(whole) if name.parts[0] not in ("summaries", "ckpt")]
    for case, cwd, fault in damaged_copies(whole, tmp_path / "run", read):
        before = tree(cwd)
        outcome = runs.run(program, flags, cwd, fault=fault)
        complaint = outcome.complaint()
        if not complaint and outcome.code == 0:
            if not (case.startswith("metrics.json") and name == "evaluate"):
                complaint = "" if answer(cwd, outcome) == wanted else "answers differently"
        elif not complaint:
            complaint = refusal_complaint(outcome, before, cwd)
        results[case] = complaint
    check_results(count, f"damage: {name}", results)
