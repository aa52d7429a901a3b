"""Damaged exports: each loads unchanged, or is refused in a few lines."""

import pathlib
import random
import shutil

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel import assembly
from vae_lowlevel.errors import RunError
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import find_weights, load_predictor
from vae_lowlevel.training.named_variables import restore_matching

IMAGES = np.random.default_rng(0).random([2, 12, 12, 1], np.float32)
DATA, INDEX = "variables/variables.data-00000-of-00001", "variables/variables.index"

# Each changes the content of a file; None deletes it.
MUTATIONS = {
    "flip": lambda content, random: flip(content, random, 1),
    "flips": lambda content, random: flip(content, random, 100),
    "truncate": lambda content, random: content[: random.randrange(len(content))],
    "zero": lambda content, random: zero(content, random),
    "empty": lambda content, random: b"",
    "extend": lambda content, random: content + random.randbytes(random.randrange(1, 5000)),
    "insert": lambda content, random: insert(content, random),
    "delete": lambda content, random: None,
}


def flip(content, random, count):
    changed = bytearray(content)
    for _ in range(count):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def zero(content, random):
    start = random.randrange(len(content))
    length = random.randrange(1, 4096)
    return (content[:start] + bytes(length) + content[start + length :])[: len(content)]


def insert(content, random):
    place = random.randrange(len(content))
    return content[:place] + random.randbytes(random.randrange(1, 50)) + content[place:]


def answers(folder):
    """Returns numbers that depend on all of an export that is used."""
    predictor = load_predictor(str(folder))
    scores = predictor.score(IMAGES)
    samples, reconstructions = predictor.sample(2), predictor.reconstruct(IMAGES)
    return [*(np.asarray(values) for values in scores), samples, reconstructions]


@pytest.fixture(scope="module")
def wanted(tiny_export):
    return answers(tiny_export)


def damage(export, folder, name, mutation, seed):
    """Copies an export and changes one file of it; returns the copy."""
    copy = pathlib.Path(shutil.copytree(export, folder / "1"))
    path = copy / name
    changed = MUTATIONS[mutation](path.read_bytes(), random.Random(seed))
    if changed is None:
        path.unlink()
    else:
        path.write_bytes(changed)
    return copy


def check(copy, wanted):
    """Loads a damaged export; returns whether it was refused."""
    try:
        found = answers(copy)
    except RunError as error:
        text = str(error)
        assert text.startswith(str(copy)), text
        assert text.count("\n") <= 2, text
        assert len(text) < 1000, text
        return True
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    return False


# What matters of an export, and how each part of it can be damaged.
FEW = [
    ("saved_model.pb", "flip"),
    ("saved_model.pb", "truncate"),
    ("saved_model.pb", "empty"),
    ("checksums.sha256", "truncate"),
    (INDEX, "delete"),
    (DATA, "flip"),
]


@pytest.mark.parametrize(("name", "mutation"), FEW)
def test_a_damaged_export_is_refused(tiny_export, tmp_path, wanted, name, mutation):
    assert check(damage(tiny_export, tmp_path, name, mutation, seed=1), wanted)


# The rest of an export is not read: its model card, its examples, its warm-up requests.
USED = ("saved_model.pb", "checksums.sha256", INDEX, DATA, "fingerprint.pb")


@pytest.mark.faults
@pytest.mark.parametrize("name", USED)
def test_many_damaged_exports(tiny_export, tmp_path, wanted, count, name):
    cases = refused = 0
    for mutation in MUTATIONS:
        for seed in range(1 if mutation in ("empty", "delete") else 8):
            is_refused = check(damage(tiny_export, tmp_path, name, mutation, seed), wanted)
            assert is_refused or name != "saved_model.pb", (mutation, seed)
            cases += 1
            refused += is_refused
            shutil.rmtree(tmp_path / "1")
    count(f"damaged export, {name}", cases=cases, refused=refused)


@pytest.mark.faults
@pytest.mark.parametrize("name", ["saved_model.pb", INDEX, DATA])
def test_damaged_exports_without_checksums(tiny_export, tmp_path, wanted, count, name):
    """As of an earlier version; flipped bits in such a graph are beyond us."""
    cases = refused = 0
    for mutation in ("truncate", "empty", "delete"):
        for seed in range(4):
            copy = damage(tiny_export, tmp_path, name, mutation, seed)
            (copy / "checksums.sha256").unlink(missing_ok=True)
            cases += 1
            refused += check(copy, wanted)
            shutil.rmtree(tmp_path / "1")
    count(f"damaged export without checksums, {name}", cases=cases, refused=refused)


@pytest.mark.faults
@pytest.mark.parametrize("name", ["variables", "assets"])
def test_missing_folders_of_an_export(tiny_export, tmp_path, wanted, name):
    copy = pathlib.Path(shutil.copytree(tiny_export, tmp_path / "1"))
    shutil.rmtree(copy / name)
    assert check(copy, wanted) == (name == "variables")


@pytest.mark.faults
@pytest.mark.parametrize("name", [INDEX, DATA])
def test_weights_from_damaged_exports(tiny_run, tiny_export, tmp_path, count, name):
    """What `--init_from` reads of an export."""
    config = RunFolder(tiny_run).read_config()
    model = assembly.build_model(config.model, (12, 12, 1), seed=5)
    restore_matching(find_weights(tiny_export), model)
    weights = [variable.numpy() for variable in model.variables]
    refusals = []
    cases = [(mutation, seed) for mutation in MUTATIONS for seed in range(8)]
    for mutation, seed in cases:
        copy = damage(tiny_export, tmp_path, name, mutation, seed)
        try:
            restore_matching(find_weights(str(copy)), model)
        except RunError as error:
            refusals.append(str(error))
        else:
            for variable, weight in zip(model.variables, weights, strict=True):
                np.testing.assert_array_equal(variable, weight)
        shutil.rmtree(tmp_path / "1")
    assert not [text for text in refusals if "\n" in text]
    count(f"--init_from a damaged export, {name}", cases=len(cases), refused=len(refusals))


def test_a_saved_model_of_another_kind_has_other_inputs(tmp_path):
    """The names of our signatures alone do not make an export."""
    module = tf.Module()
    spec = tf.TensorSpec([None, 3], tf.float32, name="code")
    function = tf.function(lambda code: {"code": code}, input_signature=[spec], autograph=False)
    module.function = function
    signatures = dict.fromkeys(("encode", "decode", "reconstruct"), function)
    tf.saved_model.save(module, str(tmp_path), signatures=signatures)
    with pytest.raises(RunError, match="of another kind: it lacks the input image of rank 4"):
        load_predictor(str(tmp_path))
