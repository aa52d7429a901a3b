"""What the metrics of a run mean, in one line each, for people who read a report."""

from __future__ import annotations

MEANINGS = {
    "loss": "what training minimises; lower is better",
    "elbo": "evidence lower bound of log p(x), nats per image; higher is better",
    "bound": "the objective's lower bound of log p(x), nats per image; higher is better",
    "distortion": "-log p(x|z), nats per image: what the reconstruction costs",
    "rate": "KL(q(z|x) || p(z)), nats per image: how much z says about x",
    "bpd": "bits per pixel and channel; lower is better",
    "reconstruction": "reconstruction error per pixel; lower is better",
    "penalty": "weighted sparsity penalty",
    "mean_activation": "mean activity of the units of the code",
    "mse": "mean squared error per pixel of reconstructions from the posterior mean",
    "psnr": "peak signal-to-noise ratio of reconstructions, dB; higher is better",
    "ssim": "structural similarity of reconstructions, at most 1; higher is better",
    "active_units": "latent dimensions whose posterior mean varies by more than 0.01 (variance)",
    "total_correlation": "dependence between the latent dimensions, nats",
    "mutual_information": "what z says about which image it is of, nats",
    "nll": "estimate of -log p(x) by importance sampling, nats per image; lower is better",
    "nll_standard_error": "standard error of nll over the images",
    "linear_probe_accuracy": "accuracy of a linear classifier of the latents",
    "knn_accuracy": "accuracy of the nearest latents of training images",
    "auroc": "area under the ROC curve: 1 tells all anomalies, 0.5 is chance",
    "examples": "number of test images that were measured",
}


def meaning_of(name: str) -> str:
    """Returns the meaning of a metric; "" for one that needs no words or is unknown.

    Args:
        name: of the metric, or of one within a group: `rate.auroc`.

    Example:
        >>> meaning_of("bounds.10"), meaning_of("rate.auroc")[:22]
        ('', 'area under the ROC cur')
    """
    return MEANINGS.get(name, MEANINGS.get(name.rpartition(".")[2], ""))
