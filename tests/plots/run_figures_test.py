import dataclasses

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from vae_lowlevel import assembly
from vae_lowlevel.config import ModelConfig
from vae_lowlevel.plots import run_figures
from vae_lowlevel.randomness import make_seed
from vae_lowlevel.types import Examples

SIDE = run_figures.MANIFOLD_SIDE
CONFIG = ModelConfig(
    network="mlp", latent_dim=2, encoder_units=(4,), decoder_units=(4,), prior_components=1
)


@pytest.mark.parametrize(
    ("prior", "quantile"),
    [
        ("standard", scipy.stats.norm(0, 1).ppf),
        ("mixture", scipy.stats.norm([4.0, -7.0], [0.5, 2.0]).ppf),
    ],
)
def test_the_manifold_lies_where_the_prior_does(tmp_path, monkeypatch, prior, quantile):
    model = assembly.build_model(dataclasses.replace(CONFIG, prior=prior), (5, 4, 1), 0)
    if prior == "mixture":
        model.prior.loc.assign([[4.0, -7.0]])
        model.prior.raw_log_variance.assign(2.0 * tf.math.log([[0.5, 2.0]]))
    decode, batches = model.decode, []
    monkeypatch.setattr(model, "decode", lambda z: batches.append(np.array(z)) or decode(z))
    test = Examples(np.zeros([3, 5, 4, 1], np.uint8), np.zeros(3, np.int32))
    run_figures.draw_run_figures(model, test, (), str(tmp_path), make_seed(0))

    (grid,) = (z for z in batches if len(z) == SIDE**2)
    grid = grid.reshape(SIDE, SIDE, 2)
    corners = np.stack([grid[0, 0], grid[-1, -1], grid[SIDE // 2, SIDE // 2]])
    first, last = 0.5 / SIDE, 1 - 0.5 / SIDE
    least, greatest, middle = (quantile(np.array([p, p])) for p in (first, last, 0.5))
    expected = [[least[0], greatest[1]], [greatest[0], least[1]], middle]
    # Of 10000 draws, the outer quantiles are known to some hundredths of the scale.
    np.testing.assert_allclose(corners, expected, atol=0.2 if prior == "mixture" else 1e-4)
