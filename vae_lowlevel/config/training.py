"""Settings of the training loop and its numerics."""

from __future__ import annotations

import dataclasses
import re

from vae_lowlevel.config.fields import MAX_INT, check, option, quote
from vae_lowlevel.errors import ConfigError

DEVICES = ("auto", "cpu", "gpu")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Training."""

    batch_size: int = option(128, "Number of examples per step, over all replicas.", at_least=1)
    accumulate_steps: int = option(
        1,
        "Number of micro-batches per replica whose gradients are accumulated before each update: "
        "the same step in less memory.",
        at_least=1,
        resume="numerics",
    )
    batch_parts: int = option(
        0,
        "Number of parts of a batch that a CPU processes at the same time, one per core; 0 means "
        "as many as there are cores, where that is faster. A run keeps the number with which it "
        "began.",
        at_least=0,
        at_most=1024,
        resume="numerics",
    )
    epochs: int | None = option(
        None,
        "Length of the run in epochs (default: 10, unless train_steps is given).",
        at_least=1,
        resume="total",
    )
    train_steps: int | None = option(
        None,
        "Length of the run in steps, instead of epochs.",
        at_least=1,
        resume="total",
        instead_of="epochs",
    )
    steps_per_loop: int = option(
        100,
        "Number of steps that the device runs between two reads by the host (a block).",
        at_least=1,
        at_most=100_000,
        resume="numerics",
    )
    best_by: str = option(
        "auto",
        "Validation number that chooses the best weights and decides early stopping. elbo: it has "
        "no KL weight, so all epochs are comparable, also during a KL warm-up. loss: what is "
        "minimised; epochs compete only once KL weight and capacity have their final values. auto: "
        "loss if the objective is not the ELBO or weighs its terms (iwae, dreg, tcvae, kl_weight "
        "other than 1, free_bits, capacity, pixel_reduction=mean, sparse_autoencoder), else elbo.",
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
        at_most=2**16,
        resume="numerics",
    )
    seed: int = option(
        0, "Seed of the initial weights, the data order and the noise.", at_least=0, below=2**31
    )
    deterministic: bool = option(
        True,
        "Makes a run repeat bit for bit on the same machine, even where that is slower.",
        resume="numerics",
    )
    jit_compile: str = option(
        "auto",
        "Whether XLA compiles the training step. auto: always on GPUs and TPUs, on a CPU only "
        "where it is faster.",
        choices=("auto", "true", "false"),
        resume="numerics",
    )
    intra_op_threads: int = option(
        0,
        "Number of threads within an operation; 0 lets TensorFlow choose, or means one where a "
        "batch is processed in as many parts as there are cores.",
        at_least=0,
        at_most=1024,
        resume="numerics",
    )
    inter_op_threads: int = option(
        0,
        "Number of operations that run at the same time; 0 means two per core, or one per core "
        "where a batch is processed in parts.",
        at_least=0,
        at_most=1024,
        resume="numerics",
    )
    init_from: str | None = option(
        None,
        "Run folder or export whose weights are the initial weights, where name and shape match; "
        "the other variables are listed.",
    )
    freeze: str | None = option(
        None,
        "Variables that are not trained: parts (encoder), layers (encoder/conv_0) or patterns of "
        "variable names (*/bias), separated by commas.",
    )
    device: str = option(
        "auto",
        "Devices that the run may use. auto: all. cpu: no GPU. gpu: one GPU, with the number "
        "device_index.",
        choices=DEVICES,
        resume="numerics",
    )
    device_index: int = option(
        0, "gpu: number of the GPU, counted from 0.", at_least=0, resume="numerics"
    )
    profile_steps: str | None = option(
        None,
        "First and last step to profile for TensorBoard, such as 100-120. TensorBoard needs the "
        "extra [profile] to show it.",
        resume="free",
    )
    gradient_histograms: bool = option(
        False,
        "Writes histograms of the gradients of one batch to TensorBoard after each epoch. Off by "
        "default: the backward pass is traced once more, which takes seconds and memory.",
        resume="free",
    )
    checkpoint_every: int | None = option(
        None,
        "Number of steps between checkpoints (default: one checkpoint per epoch).",
        at_least=1,
        resume="free",
    )
    max_to_keep: int = option(2, "Number of checkpoints that are kept.", at_least=1, resume="free")

    def __post_init__(self) -> None:
        check(self)
        self.profiled()

    @property
    def parts(self) -> int:
        """Number of parts of a batch; 1 as long as none is chosen."""
        return max(1, self.batch_parts)

    def profiled(self) -> tuple[int, int] | None:
        """Returns the first and the last step of `profile_steps`, counted from 1, or None."""
        if self.profile_steps is None:
            return None
        match = re.fullmatch(r"(\d{1,10})-(\d{1,10})", self.profile_steps)
        first, last = map(int, match.groups()) if match else (0, 0)
        if not 1 <= first <= last <= MAX_INT:
            raise ConfigError(
                "--profile_steps must be <first>-<last>, such as 100-120, with steps counted from "
                f"1, got {quote(self.profile_steps)}"
            )
        return first, last
