"""What a run starts from: a built state, and weights that data or another run give."""

from __future__ import annotations

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.feeding import first_images
from vae_lowlevel.loading import find_weights
from vae_lowlevel.training.initial_weights import choose_trained, restore_matching
from vae_lowlevel.training.state import TrainState
from vae_lowlevel.types import Dataset


def build_state(config: Config, dataset: Dataset) -> TrainState:
    """Builds all that training changes, at its initial values, inside the strategy's scope."""
    model = assembly.build_model(
        config.model, dataset.image_shape, config.training.seed, dataset.num_classes
    )
    trained = choose_trained(model, config.training.freeze)
    return TrainState(
        model,
        assembly.build_optimizer(config.optimizer, model, trained),
        trained=trained,
        averaged=assembly.build_averaged_model(
            config, model, dataset.image_shape, dataset.num_classes
        ),
        loss_scale=assembly.build_loss_scale(config),
    )


def start_weights(config: Config, state: TrainState, dataset: Dataset) -> None:
    """Replaces initial weights by what the data, or another run, give in their place."""
    if config.model.prior == "vamp":
        images = first_images(config.training, dataset, config.model.prior_components)
        state.model.prior.start_from(images)
    path = config.training.init_from
    if path:
        restored = restore_matching(find_weights(path), state.model)
        print(f"{len(restored.names)} variables start from {path}")
        for difference in restored.differences:
            print(f"  not taken over: {difference}")
    if state.averaged is not None:
        state.averaged.start(state.model)
