"""What a finished run leaves for TensorBoard: hyperparameters, latents, text."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import summary_v2 as hparams_summary

from vae_lowlevel import files
from vae_lowlevel.config import Config, digest
from vae_lowlevel.config.flags import format_flagfile, format_value
from vae_lowlevel.data.batching import padded_batches
from vae_lowlevel.evaluation.embedding import compile_embedding, embed_batches
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.plots.png import encode_png
from vae_lowlevel.training.observers import named_summaries
from vae_lowlevel.training.summaries import write_scalars
from vae_lowlevel.types import Dataset, Examples, Model, is_vector_shape

# Points of the projector: more make a browser slow.
MOST_POINTS = 2000

# Most pixels of a side of the sprite, which a browser loads as one texture, and of one thumbnail.
MOST_PIXELS = 8192
MOST_THUMBNAIL = 64

# Settings that tell nothing about a result.
_NO_HPARAMS = {"model_dir", "overwrite", "export_dir", "tensorflow_log"}


def write_final_summaries(
    config: Config,
    folder: RunFolder,
    dataset: Dataset,
    model: Model,
    step: int,
    metrics: Mapping[str, Any],
    export: str | None,
) -> None:
    """Writes `summaries/test`: test metrics, hyperparameters, text, and the latents of test images.

    What was there before is deleted, so that a run whose end is repeated has each of them once.

    Args:
        config: of the run.
        folder: its folder.
        dataset: its data.
        model: with the best weights, float32.
        step: of these weights.
        metrics: of the test split; those that are numbers are written.
        export: folder of the export, whose model card is shown; None for none.
    """
    path = os.path.join(folder.summaries, "test")
    if files.is_folder(path):
        files.delete(path)
    files.make_folder(path)
    numbers = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
    with named_summaries(folder.summaries):
        writer = tf.summary.create_file_writer(path)
        with writer.as_default(np.int64(step)):
            hparams_summary.hparams(hyperparameters(config), trial_id=_trial_name(folder.path))
            write_scalars(numbers)
            tf.summary.text("flags", _code_block(format_flagfile(config)))
            card = None if export is None else os.path.join(export, "MODEL_CARD.md")
            if card is not None and files.is_file(card):
                tf.summary.text("model_card", _without_pictures(files.read(card).decode()))
        writer.close()
    test = dataset.test[:MOST_POINTS]
    if len(test):
        batch_size = min(config.training.evaluation_batch_size, len(test))
        embed = compile_embedding(model, batch_size)
        z = embed_batches(embed, padded_batches(test, batch_size))
        write_projector(path, z, test, dataset)


def _trial_name(path: str) -> str:
    """Returns the name of a run folder, and digits that tell it from others of that name."""
    place = path if files.is_remote(path) else os.path.abspath(path)
    return f"{os.path.basename(path.rstrip('/'))} {digest(place):012x}"[:-6]


def hyperparameters(config: Config) -> dict[str, bool | float | str]:
    """Returns the settings that a sweep may compare, as TensorBoard stores them; unset ones not."""
    flat = config.to_flat()
    return {
        name: value if isinstance(value, (bool, int, float)) else format_value(value)
        for name, value in flat.items()
        if value is not None and name not in _NO_HPARAMS
    }


def write_projector(folder: str, z: np.ndarray, examples: Examples, dataset: Dataset) -> None:
    """Writes what TensorBoard's projector shows: points, what is known of each, thumbnails.

    Args:
        folder: one with summaries, which makes it a run of TensorBoard.
        z: float32 [N, D]. A single dimension gets a second one, 0, because the projector needs two.
        examples: the N images.
        dataset: its class and factor names.
    """
    if z.shape[1] == 1:
        z = np.concatenate([z, np.zeros_like(z)], 1)
    lines = ("\t".join(f"{number:.6g}" for number in row) for row in z)
    content = {
        "tensors.tsv": "\n".join(lines) + "\n",
        "metadata.tsv": _metadata(examples, dataset.class_names, dataset.factor_names),
    }
    config = (
        f'embeddings {{\n  tensor_name: "latents of {len(z)} test images"\n'
        f"  tensor_shape: {z.shape[0]}\n  tensor_shape: {z.shape[1]}\n"
        '  tensor_path: "tensors.tsv"\n  metadata_path: "metadata.tsv"\n'
    )
    if not is_vector_shape(dataset.image_shape):
        sprite, (height, width) = draw_sprite(examples.image)
        files.write(os.path.join(folder, "sprite.png"), encode_png(sprite))
        config += '  sprite {\n    image_path: "sprite.png"\n'
        config += f"    single_image_dim: {width}\n    single_image_dim: {height}\n  }}\n"
    content["projector_config.pbtxt"] = config + "}\n"
    for name, text in content.items():
        files.write(os.path.join(folder, name), text.encode())


def draw_sprite(image: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Lays thumbnails out in one square picture, without lines between them.

    Args:
        image: uint8 [N, H, W, 1 or 3].

    Returns:
        uint8 [side x h, side x w, C] with side = ceil(sqrt(N)), at most 8192 pixels high and wide;
        and (h, w) of a thumbnail. Images larger than 64 pixels are made smaller.
    """
    count, height, width, channels = image.shape
    side = math.ceil(math.sqrt(count))
    scale = min(1.0, min(MOST_THUMBNAIL, MOST_PIXELS // side) / max(height, width))
    h, w = max(1, int(height * scale)), max(1, int(width * scale))
    if scale < 1.0:
        image = np.round(tf.image.resize(image, [h, w], "area").numpy()).astype(np.uint8)
    tiles = np.zeros([side * side, h, w, channels], np.uint8)
    tiles[:count] = image
    sprite = tiles.reshape(side, side, h, w, channels).swapaxes(1, 2)
    return sprite.reshape(side * h, side * w, channels), (h, w)


def _metadata(examples: Examples, class_names: Sequence[str], factor_names: Sequence[str]) -> str:
    """Returns one row per image: its number, its class, and its factors where they are known."""
    columns = {"label": [_class_name(label, class_names) for label in examples.label]}
    columns["image"] = [str(row) for row in range(len(examples))]
    if examples.factors is not None:
        for name, values in zip(factor_names, examples.factors.T, strict=True):
            columns[name] = [f"{value:.4g}" for value in values]
    rows = [columns, *zip(*columns.values(), strict=True)]
    return "\n".join("\t".join(" ".join(cell.split()) for cell in row) for row in rows) + "\n"


def _class_name(label: int, class_names: Sequence[str]) -> str:
    if label < 0:
        return "unknown"
    return class_names[label] if label < len(class_names) else str(label)


def _code_block(text: str) -> str:
    """Returns Markdown that shows a text line by line."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def _without_pictures(markdown: str) -> str:
    """Leaves out pictures, whose files TensorBoard does not serve."""
    return "\n".join(line for line in markdown.splitlines() if not line.startswith("!["))
