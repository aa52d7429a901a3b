"""Variables by name: weights restored from another run, and weights that are not trained.

A variable is named by its part of the model, layer and role: `encoder/conv_0/kernel`.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from typing import NamedTuple

import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from vae_lowlevel.errors import ConfigError, RunError, first_line
from vae_lowlevel.types import Model


class Restored(NamedTuple):
    """What a model restored from the checkpoint of another one.

    Attributes:
        names: variables that were restored.
        differences: one sentence for each variable of either side that was not.
    """

    names: list[str]
    differences: list[str]


def named_variables(model: Model) -> dict[str, tf.Variable]:
    """Returns the variables of a model by their names, in the order of its parts."""
    named: dict[str, tf.Variable] = {}
    for part_name, part in vars(model).items():
        if not isinstance(part, tf.Module):
            continue
        for variable in part.variables:
            # A part may hold another one, as a prior the encoder: its variables have one name.
            if not any(variable is known for known in named.values()):
                named[f"{part_name}/{variable.name.split(':')[0]}"] = variable
    return named


def restore_matching(checkpoint: str, model: Model) -> Restored:
    """Restores the variables of a model that a checkpoint has with the same name and shape.

    Args:
        checkpoint: prefix of the files, of the best weights of a run or of an export.
        model: its variables are assigned.

    Raises:
        RunError: the checkpoint cannot be read.
        ConfigError: no variable matches.
    """
    try:
        reader = tf.train.load_checkpoint(checkpoint)
        saved = {name: reader.get_tensor(key) for name, key in _named_keys(reader).items()}
    except (tf.errors.OpError, ValueError, IndexError) as error:
        raise RunError(f"{checkpoint}: not a readable checkpoint: {first_line(error)}") from error
    variables = named_variables(model)
    restored = []
    differences = [f"{name}: only in the checkpoint" for name in saved if name not in variables]
    for name, variable in variables.items():
        if name not in saved:
            differences.append(f"{name}: not in the checkpoint")
            continue
        here, there = variable.shape.as_list(), list(saved[name].shape)
        if here != there:
            differences.append(f"{name}: of shape {there} in the checkpoint, {here} here")
        else:
            variable.assign(saved[name])
            restored.append(name)
    if not restored:
        listed = "\n  ".join(differences)
        raise ConfigError(f"--init_from: no variable of {checkpoint} fits this model:\n  {listed}")
    return Restored(restored, differences)


def _named_keys(reader: tf.train.CheckpointReader) -> dict[str, str]:
    """Returns the key of each variable of the saved `model`, by the variable's name."""
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    graph.ParseFromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
    keys = {}
    for node in graph.nodes:
        for attribute in node.attributes:
            root, _, path = attribute.checkpoint_key.partition("/")
            if root == "model":
                keys[f"{path.partition('/')[0]}/{attribute.full_name}"] = attribute.checkpoint_key
    return keys


def choose_trained(model: Model, freeze: str | None) -> list[tf.Variable]:
    """Returns the trainable variables of a model that no pattern names.

    Args:
        model: a built model.
        freeze: parts (`encoder`), layers (`encoder/conv_0`) or patterns of whole names
            (`*/conv_*/kernel`), separated by commas; None for none.

    Raises:
        ConfigError: a pattern names nothing, or nothing is left to train.
    """
    names = {id(variable): name for name, variable in named_variables(model).items()}
    patterns = [pattern.strip() for pattern in freeze.split(",")] if freeze else []
    listed = "\n  ".join(names.values())
    for pattern in patterns:
        if not any(_is_named(name, pattern) for name in names.values()):
            raise ConfigError(f"--freeze={freeze}: {pattern!r} names none of\n  {listed}")
    trained = [
        variable
        for variable in model.trainable_variables
        if not any(_is_named(names[id(variable)], pattern) for pattern in patterns)
    ]
    if not trained:
        raise ConfigError(f"--freeze={freeze} leaves nothing to train among\n  {listed}")
    return trained


def describe_frozen(model: Model, trained: Iterable[tf.Variable]) -> str:
    """Returns the names of the variables that are not among `trained`."""
    kept = {id(variable) for variable in trained}
    return ", ".join(
        n for n, variable in named_variables(model).items() if id(variable) not in kept
    )


def _is_named(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) or name.startswith(f"{pattern}/")
