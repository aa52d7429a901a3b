"""Settings of the training loop and its numerics."""

from __future__ import annotations

import dataclasses
import re

from vae_lowlevel.config.fields import check, option
from vae_lowlevel.errors import ConfigError

DEVICES = ("auto", "cpu", "gpu")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Training."""

    batch_size: int = option(128, "Examples a step, over all replicas.", at_least=1)
    accumulate_steps: int = option(
        1,
        "Parts a replica goes through a step's examples in, adding their gradients up: the same "
        "step in less memory.",
        at_least=1,
        resume="numerics",
    )
    epochs: int | None = option(
        None, "Length of the run in epochs (10 if no length is given).", at_least=1, resume="total"
    )
    train_steps: int | None = option(
        None, "Length of the run in steps, instead of epochs.", at_least=1, resume="total"
    )
    steps_per_loop: int = option(
        100, "Steps between two reads of the host (a block).", at_least=1, resume="numerics"
    )
    best_by: str = option(
        "auto",
        "Validation number that chooses the best weights and decides early stopping. elbo: it has "
        "no KL weight, so all epochs compare, also during a KL warm-up. loss: what is minimised; "
        "epochs compete only once KL weight and capacity have their final values. auto: loss if "
        "the objective weighs its terms (kl_weight other than 1, free_bits, capacity, "
        "pixel_reduction=mean, sparse_autoencoder), else elbo.",
        choices=("auto", "elbo", "loss"),
        resume="free",
    )
    early_stopping_patience: int | None = option(
        None,
        "Number of epochs without a better validation score (see best_by) after which training "
        "stops.",
        at_least=1,
        resume="total",
    )
    # Decides which noise a validation example gets, and so which of two close epochs is best.
    evaluation_batch_size: int = option(
        500,
        "Examples per batch of validation and test; lower it when memory runs out.",
        at_least=1,
        resume="numerics",
    )
    seed: int = option(0, "Seed of initial weights, data order and noise.", at_least=0, below=2**31)
    deterministic: bool = option(
        True,
        "Repeat bit for bit on the same machine, even where that is slower.",
        resume="numerics",
    )
    jit_compile: str = option(
        "auto",
        "Compile training with XLA. auto: all on GPU and TPU; on a CPU what is faster so, the mlp.",
        choices=("auto", "true", "false"),
        resume="numerics",
    )
    intra_op_threads: int = option(
        0, "Threads within an operation; 0 lets TensorFlow choose.", at_least=0, resume="numerics"
    )
    inter_op_threads: int = option(
        0, "Operations at once; 0 takes two a core.", at_least=0, resume="numerics"
    )
    init_from: str | None = option(
        None,
        "Run folder or export whose weights the run starts from, wherever name and shape fit; what "
        "did not is listed.",
    )
    freeze: str | None = option(
        None,
        "What is not trained: parts (encoder), layers (encoder/conv_0) or patterns of the names of "
        "variables (*/bias), separated by commas.",
    )
    device: str = option(
        "auto",
        "What the run may use. auto: all there is. gpu: one, numbered device_index.",
        choices=DEVICES,
        resume="numerics",
    )
    device_index: int = option(0, "gpu: which one.", at_least=0, resume="numerics")
    profile_steps: str | None = option(
        None,
        "First and last step to profile, as 100-120, for TensorBoard; needs the extra profile to "
        "be read.",
        resume="free",
    )
    checkpoint_every: int | None = option(
        None, "Steps between checkpoints (default: each epoch).", at_least=1, resume="free"
    )
    max_to_keep: int = option(2, "Checkpoints kept.", at_least=1, resume="free")

    def __post_init__(self) -> None:
        check(self)
        if self.epochs is not None and self.train_steps is not None:
            raise ConfigError(
                f"--epochs={self.epochs} and --train_steps={self.train_steps}: give one of the two"
            )
        self.profiled()

    def profiled(self) -> tuple[int, int] | None:
        """Returns the first and the last step of `profile_steps`, counted from 1, or None."""
        if self.profile_steps is None:
            return None
        match = re.fullmatch(r"(\d+)-(\d+)", self.profile_steps)
        first, last = map(int, match.groups()) if match else (0, 0)
        if not 1 <= first <= last:
            raise ConfigError(
                "--profile_steps must be <first>-<last>, such as 100-120, steps counted from 1, "
                f"got {self.profile_steps!r}"
            )
        return first, last
