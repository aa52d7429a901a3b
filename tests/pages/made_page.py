"""The latent explorer of a model that was not trained, with weights that are random everywhere."""

import base64
import json
import re
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.experiment.exploring import write_explorer
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.types import Dataset, Examples, Model

SMALL = {
    "network": "mlp",
    "latent_dim": 2,
    "encoder_units": (6,),
    "decoder_units": (9,),
    "decoder_filters": (6, 5, 4),
    "prior_components": 5,
    "iaf_units": (5,),
    "iaf_context": 2,
    "evaluation_batch_size": 32,
}
# The last name is what must not end a script or become a tag.
CLASS_NAMES = ("round", "square", "</script><b>{{style}}")


class Made(NamedTuple):
    path: str
    model: Model
    dataset: Dataset

    @property
    def text(self):
        with open(self.path, encoding="utf-8") as file:
            return file.read()

    @property
    def data(self):
        """The data in the page, arrays as NumPy arrays."""
        pattern = r'<script type="application/json" id="data">(.*?)</script>'
        return _with_arrays(json.loads(re.search(pattern, self.text, re.DOTALL)[1]))


def _with_arrays(value):
    if isinstance(value, dict):
        if set(value) == {"shape", "type", "data"}:
            content = np.frombuffer(base64.b64decode(value["data"]), value["type"])
            return content.reshape(value["shape"])
        return {name: _with_arrays(entry) for name, entry in value.items()}
    return [_with_arrays(entry) for entry in value] if isinstance(value, list) else value


def make_dataset(image_shape=(8, 6, 1), count=90, unknown=False):
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, [count, *image_shape], np.uint8)
    label = generator.integers(-1 if unknown else 0, len(CLASS_NAMES), [count], np.int32)
    # Images of one class are alike.
    image[..., :2, :] //= (label[:, None, None, None] + 2).astype(np.uint8)
    test = Examples(image, label)
    return Dataset(test[:40], test[:0], test, CLASS_NAMES)


def make_page(folder, image_shape=(8, 6, 1), unknown=False, **flags):
    """Writes a page into a folder."""
    dataset = make_dataset(image_shape, unknown=unknown)
    run = RunFolder(str(folder / "a <b> run"))
    config = Config.from_flat({**SMALL, **flags, "model_dir": run.path})
    model = assembly.build_model(config.model, image_shape, 0, num_classes=len(CLASS_NAMES))
    for index, variable in enumerate(model.trainable_variables):
        variable.assign_add(0.5 * tf.random.stateless_normal(variable.shape, [index, 2]))
    if config.model.posterior == "full" and model.latent_dim == 2:
        # The parameters are two means, then L_11, L_10 and L_00: the two dimensions are correlated,
        # and not hidden by a large deviation of one of them.
        head = model.encoder.layers[-1]
        head.kernel.assign(0.1 * head.kernel)
        head.bias.assign_add([0.0, 0.0, 0.0, 3.0, 0.0])
    path = write_explorer(config, run, dataset, model, str(folder / "new" / "explorer.html"))
    return Made(path, model, dataset)
