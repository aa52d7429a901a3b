"""A VAE on NumPy arrays, from its settings to its export: what a notebook starts with."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
import weakref
from typing import Any

import numpy as np

from vae_lowlevel import assembly, files
from vae_lowlevel.config import Config
from vae_lowlevel.config.export import ExportOptions
from vae_lowlevel.data.arrays import read_npz
from vae_lowlevel.data.labels import check_labels, count_classes
from vae_lowlevel.errors import ConfigError, DataError, RunError
from vae_lowlevel.experiment.exporting import export_run
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import load_model
from vae_lowlevel.experiment.opening import open_run_folder
from vae_lowlevel.experiment.training import train_run
from vae_lowlevel.plots.grids import image_grid
from vae_lowlevel.plots.png import encode_png
from vae_lowlevel.serving.array_checks import Labels, unit_images
from vae_lowlevel.serving.encodings import Encoding
from vae_lowlevel.serving.predictor import Predictor
from vae_lowlevel.serving.publish import publish
from vae_lowlevel.serving.signatures import ServingModel
from vae_lowlevel.serving.version_folder import write_version

# What `fit` decides by its own arguments, or what must not happen to the images it keeps.
FIT_SETTINGS = (
    *("dataset", "data_dir", "pad_to", "model_dir", "export_dir", "validation_size"),
    "overwrite",
)


class VAE:
    """A VAE that is built, trained, used and exported from Python.

    Training is that of the command line, `python -m vae_lowlevel.train`: the same loop, run folder
    and settings. Images are uint8 in [0, 255] or float in [0, 1], [N, H, W, C], or [N, H, W] when C
    is 1; images returned are float32 in [0, 1].

    A conditional VAE, `conditional=True`, learns its classes from the labels that `fit` receives
    and can be used after that; `label` is the class of each row, integers [N], or one for all rows,
    and -1 where it is not known. Any other VAE takes no label.

    Args:
        config: all settings, except those that `fit` has arguments for.
        image_shape: (H, W, C).

    Attributes:
        config: as given.
        image_shape: (H, W, C).
        model: the `tf.Module`, float32; after `fit` with the best weights of the run. None for a
            conditional VAE before `fit`.

    Raises:
        ConfigError: settings do not fit each other, or the image.
        ValueError: a label is missing or not expected, or a conditional VAE is used before `fit`.

    Example:
        >>> import numpy as np
        >>> settings = {"network": "mlp", "latent_dim": 2, "encoder_units": (8,)}
        >>> vae = VAE(Config.from_flat(settings), image_shape=(12, 12, 1))
        >>> vae.encode(np.zeros([3, 12, 12], np.uint8)).z_mean.shape
        (3, 2)
        >>> vae.sample(4, seed=1).shape
        (4, 12, 12, 1)
    """

    def __init__(self, config: Config, image_shape: tuple[int, int, int]) -> None:
        given = [name for name in FIT_SETTINGS if name in _changed(config)]
        if given:
            raise ConfigError(
                f"{', '.join(given)}: fit sets these from its own arguments, so leave them out here"
            )
        self.config = config
        self.image_shape = tuple(image_shape)
        self.model = None
        self._run: str | None = None
        if not config.model.conditional:
            self._use(assembly.build_float32_model(config, self.image_shape))

    @classmethod
    def from_variant(cls, variant: str, *, image_shape: tuple[int, int, int], **flags: Any) -> VAE:
        """Builds a residual VAE of a size, as `--network=resnet --variant=<variant>` does.

        Args:
            variant: "micro", "small", "medium", "large" or "xlarge".
            image_shape: (H, W, C).
            **flags: any other settings by the names of their flags, such as `latent_dim`,
                `kl_weight`, `resnet_filters` or `learning_rate`.

        Raises:
            ConfigError: a setting is unknown or wrong, or the image too small for the variant.
        """
        flat = {"network": "resnet", "variant": variant, **flags}
        return cls(Config.from_flat(flat), image_shape)

    def fit(
        self,
        image: np.ndarray,
        label: np.ndarray | None = None,
        *,
        epochs: int | None = None,
        validation_size: int | None = None,
        model_dir: str | None = None,
    ) -> VAE:
        """Trains from the first weights, and keeps the best weights of the run.

        A tenth of the images are held out as the test split. Floats are rounded to 8 bits, the
        format in which images are stored.

        Args:
            image: the images.
            label: int [N], their classes from 0 on, -1 where one is not known; None for none. A
                conditional VAE needs them.
            epochs: length of the run; None for that of the config, 10 where it has none.
            validation_size: images held out to choose the best epoch; None for 5000, or a tenth
                of the training images where that is less.
            model_dir: run folder, which keeps the images too, so that the same call or the command
                line resumes the run; None for a temporary one, deleted with the `VAE`.

        Returns:
            This object.

        Raises:
            ConfigError: the run folder is of another run, or there are fewer images than a batch.
            Interrupted: Ctrl-C; with `model_dir` the next call resumes the run.
            RunError: the run folder holds other images.
            ValueError: `image` is no array of images of this shape; `label` does not fit it, or
                makes more classes than half of the images and more than 1000; or a conditional VAE
                receives no labels.
        """
        pixels = np.rint(unit_images(image, self.image_shape) * 255.0).astype(np.uint8)
        labels = np.full(len(pixels), -1) if label is None else np.asarray(label)
        try:
            labels = check_labels(labels, len(pixels))
            count_classes([labels])
        except ValueError as error:
            raise ValueError(f"label: {error}") from None
        if self.config.model.conditional and labels.max(initial=-1) < 0:
            raise ValueError(
                "a conditional VAE learns from labels: give fit the class of each image"
            )
        is_temporary = model_dir is None
        if is_temporary:
            # Kept as long as this object is, for `save`.
            parent = tempfile.mkdtemp(prefix="vae_lowlevel-")
            weakref.finalize(self, shutil.rmtree, parent)
            model_dir = os.path.join(parent, "run")
        data = RunFolder(os.path.abspath(model_dir)).kept_images
        config = self.config.replace(
            dataset=f"npz:{data}",
            validation_size=validation_size,
            model_dir=model_dir,
            export_dir="",
        )
        if epochs is not None:
            config = config.replace(epochs=epochs, train_steps=None)
        folder, notes = open_run_folder(config)
        for note in notes:
            print(note)
        _keep_images(data, pixels, labels)
        model = train_run(config, folder)
        if is_temporary:
            os.remove(data)
        self._use(load_model(model_dir) if model is None else model)
        self._run = model_dir
        return self

    def encode(self, image: np.ndarray, label: Labels = None) -> Encoding:
        """Returns the posterior of each image: its `z_mean`, float32 [N, D], and more."""
        return self._usable().encode(image, label)

    def decode(self, z: np.ndarray, label: Labels = None) -> np.ndarray:
        """Returns the mean image of p(x|z), [N, H, W, C], for finite floats z [N, D]."""
        return self._usable().decode(z, label)

    def reconstruct(self, image: np.ndarray, label: Labels = None) -> np.ndarray:
        """Returns each image decoded from its posterior mean, [N, H, W, C]."""
        return self._usable().reconstruct(image, label)

    def sample(self, count: int, seed: int = 0, label: Labels = None) -> np.ndarray:
        """Returns mean images of draws from the prior, [count, H, W, C]."""
        return self._usable().sample(count, seed, label)

    def plot(self, path: str, count: int = 16, seed: int = 0, label: Labels = None) -> None:
        """Writes a grid of samples to a PNG file."""
        plot(path, self.sample(count, seed, label))

    def save(self, path: str) -> str:
        """Exports as the next version `<path>/<1, 2, ...>`, for `load` and TensorFlow Serving.

        After `fit`, it is the export of its run, `python -m vae_lowlevel.export`: with a model card
        and a threshold for `is_anomaly`. Before, it has the first weights alone, and no image
        exceeds the threshold.

        Returns:
            The version's folder.

        Raises:
            RunError: the run folder is gone, or the export cannot be written.
        """
        base_dir, name = os.path.split(os.path.abspath(path))
        if self._run is not None:
            return export_run(ExportOptions(model_dir=self._run, export_dir=base_dir, name=name))
        self._usable()
        serving_model = ServingModel(self.model)
        return publish(lambda folder: write_version(folder, serving_model, name), base_dir, name)

    def _usable(self) -> Predictor:
        if self.model is None:
            raise ValueError(
                "a conditional VAE learns its classes from labels: call fit(image, label) first"
            )
        return self._predictor

    def _use(self, model: Any) -> None:
        self.model = model
        self._predictor = Predictor.from_model(ServingModel(model))


def plot(path: str, images: np.ndarray) -> None:
    """Writes float images [N, H, W, 1 or 3] in [0, 1] to a PNG file, in a square grid."""
    columns = max(1, math.ceil(math.sqrt(len(images))))
    files.write(path, encode_png(image_grid(images, columns)))


def _changed(config: Config) -> set[str]:
    """Returns the names of the settings that are not as they are by default."""
    default = Config().to_flat()
    return {name for name, value in config.to_flat().items() if value != default[name]}


def _keep_images(path: str, image: np.ndarray, label: np.ndarray) -> None:
    """Writes the images into the run folder, or checks that it has these already."""
    if os.path.isfile(path):
        try:
            kept = read_npz(path, ("image", "label")).arrays
            pairs = ((kept["image"], image), (kept["label"], label))
            found = None if all(np.array_equal(*pair) for pair in pairs) else "others"
        except (DataError, KeyError) as error:
            found = f"another file ({error})"
        if found:
            raise RunError(
                f"{path}: expected the images and labels of this call, found {found}; pass "
                "those, or another model_dir"
            )
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    partial = f"{path}.partial.npz"
    np.savez(partial, image=image, label=label)
    os.replace(partial, path)
