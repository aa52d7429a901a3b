"""A run in this process that takes about a second: three steps per epoch of a dense network."""

import json

from vae_lowlevel import train
from vae_lowlevel.config import Config

TINY = {
    "image_size": 8,
    "shapes_examples": 28,
    "validation_size": 4,
    "network": "mlp",
    "latent_dim": 2,
    "encoder_units": (6,),
    "decoder_units": (6,),
    "batch_size": 8,
    "steps_per_loop": 3,
    "evaluation_batch_size": 8,
    "export_dir": "",
    "figures": False,
    "prior_components": 5,
    "jit_compile": "false",
}


def run(folder, **values):
    config = Config.from_flat({**TINY, "model_dir": str(folder), **values})
    train.run(config)
    return config, json.loads((folder / "metrics.json").read_text())
