"""Applies a trained model: encode, reconstruct, sample, interpolate, traverse.

python -m vae_lowlevel.inference COMMAND --model_dir=runs/fashion --output=FILE [--input=FILE]

encode        writes the parameters of each image's posterior, such as z_mean and z_log_var; for a
              sparse autoencoder its code
reconstruct   decodes the posterior mean or code of each image; a .png shows it below the image
sample        decodes draws from the prior; for a conditional model of the class --label
interpolate   decodes points on the line between the posterior means of each image and the next,
              between the means of classes, or between draws from the prior (--between)
traverse      decodes the posterior mean of the first image with one dimension of z after another
              from -3 to 3 (--span)

An .npz output holds arrays with the names of an export's outputs, a .png output a grid of images.
"""

from __future__ import annotations

import sys

from vae_lowlevel import cli
from vae_lowlevel.config.inference import InferenceOptions


def run(options: InferenceOptions) -> None:
    """Runs one command and writes its output."""
    from vae_lowlevel.experiment.predicting import predict

    predict(options)
    print(f"wrote {options.output}")


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns the exit code; the first word is the command."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and not argv[0].startswith("-"):
        argv[0] = f"--command={argv[0]}"
    return cli.main(__doc__, InferenceOptions, run, argv)


if __name__ == "__main__":
    sys.exit(main())
