"""Lists the programs of the package: `python -m vae_lowlevel`."""

from __future__ import annotations

PROGRAMS = """\
python -m vae_lowlevel.PROGRAM ...; --help explains each

train       trains a model, measures it, draws figures and exports it for serving
evaluate    measures a finished run: test metrics, likelihood, anomaly scores and more
visualize   draws the figures of a finished run
report      writes a page with the results of a run, and an explorer of its latent space
inference   encodes, reconstructs, samples, interpolates and traverses with a trained model
export      exports the best weights of a run for serving

First steps: python -m vae_lowlevel.train --flagfile=flags/quickstart.cfg"""

if __name__ == "__main__":
    print(PROGRAMS)
