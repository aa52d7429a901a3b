"""A VAE on NumPy arrays, from its settings to its export: what a notebook starts with."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.config.export import ExportOptions
from vae_lowlevel.data.labels import check_labels, count_classes
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.experiment.array_run import open_array_run
from vae_lowlevel.experiment.exporting import export_run
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.history import EpochCallback, EpochCallbacks, collect_history
from vae_lowlevel.experiment.loading import load_model, load_predictor
from vae_lowlevel.experiment.training import train_run
from vae_lowlevel.models.layer_table import layer_table
from vae_lowlevel.plots.grids import plot
from vae_lowlevel.serving.array_checks import Labels, full_shape, unit_images
from vae_lowlevel.serving.predictor import Predictor
from vae_lowlevel.serving.publish import publish
from vae_lowlevel.serving.signatures import ServingModel
from vae_lowlevel.serving.version_folder import write_version
from vae_lowlevel.types import Model, is_vector_shape

# What `fit` decides by its own arguments, or what must not happen to the images it keeps.
FIT_SETTINGS = (
    *("dataset", "data_dir", "pad_to", "model_dir", "export_dir", "validation_size"),
    "overwrite",
)


class VAE(Predictor):
    """A VAE that is built, trained, used and exported from Python.

    Training is that of the command line, `python -m vae_lowlevel.train`: the same loop, run folder
    and settings. Images are uint8 in [0, 255] or float in [0, 1], [N, H, W, C], or [N, H, W] when C
    is 1; images returned are float32 in [0, 1].

    Vectors of D numbers, such as rows of a table, are floats in [0, 1], [N, D], for a model with
    `network="mlp"` and `likelihood="gaussian"`.

    A conditional VAE, `conditional=True`, learns its classes from the labels that `fit` receives
    and can be used after that; `label` is the class of each row, integers [N], or one for all rows,
    and -1 where it is not known. Any other VAE takes no label.

    Args:
        config: all settings, except those that `fit` has arguments for.
        image_shape: (H, W, C), (H, W) for C = 1, or (D,) for vectors.

    Attributes:
        config: as given.
        image_shape: (H, W, C); (1, D, 1) for vectors.
        model: the `tf.Module`, float32; after `fit` with the best weights of the run. None for a
            conditional VAE before `fit`.
        history: one list per metric with a value per epoch, such as `history["val_loss"]`; see
            `collect_history`. Empty before `fit`.

    Raises:
        ConfigError: settings do not fit each other, or the image.
        ValueError: a label is missing or not expected, or a conditional VAE is used before `fit`.

    Example:
        >>> import numpy as np
        >>> settings = {"network": "mlp", "latent_dim": 2, "encoder_units": (8,)}
        >>> vae = VAE(Config.from_flat(settings), image_shape=(12, 12))
        >>> mean, log_var = vae.encode(np.zeros([3, 12, 12], np.uint8))
        >>> mean.shape
        (3, 2)
        >>> vae.sample(4).shape
        (4, 12, 12, 1)
    """

    def __init__(self, config: Config, image_shape: Sequence[int]) -> None:
        given = [name for name in FIT_SETTINGS if name in _changed(config)]
        if given:
            raise ConfigError(
                f"{', '.join(given)}: fit sets these from its own arguments, so leave them out here"
            )
        self.config = config
        self.image_shape = full_shape(image_shape)
        self.model = None
        self.history: dict[str, list[float]] = {}
        self._run: str | None = None
        if len(image_shape) == 1:
            config.model.check_vectors()
        if not config.model.conditional:
            self._use(assembly.build_float32_model(config, self.image_shape))

    @classmethod
    def from_variant(cls, variant: str, *, image_shape: Sequence[int], **flags: Any) -> VAE:
        """Builds a residual VAE of a size, as `--network=resnet --variant=<variant>` does.

        Args:
            variant: "micro", "small", "medium", "large" or "xlarge".
            image_shape: (H, W, C), or (H, W) for C = 1.
            **flags: any other settings by the names of their flags, such as `latent_dim`,
                `kl_weight`, `resnet_filters` or `learning_rate`.

        Raises:
            ConfigError: a setting is unknown or wrong, or the image too small for the variant.
        """
        config = Config.from_flat({"network": "resnet", "variant": variant, **flags})
        return cls(config, image_shape)

    @classmethod
    def from_run(cls, model_dir: str) -> VAE:
        """Loads the best weights and the history of a run folder; errors are those of `load`."""
        folder = RunFolder(model_dir)
        config = folder.read_config()
        default = Config().to_flat()
        vae = cls.__new__(cls)
        vae.config = config.replace(**{name: default[name] for name in FIT_SETTINGS})
        vae._finish(load_model(model_dir), folder)
        return vae

    def fit(
        self,
        image: np.ndarray,
        label: np.ndarray | None = None,
        *,
        epochs: int | None = None,
        validation_size: int | None = None,
        model_dir: str | None = None,
        callbacks: Sequence[EpochCallback] = (),
        verbose: bool = True,
    ) -> VAE:
        """Trains from the first weights, and keeps the best weights of the run.

        A tenth of the images are held out as the test split. Images of floats are rounded to 8
        bits, the format in which images are stored; vectors are not. A second call starts again;
        to start from trained weights, set `init_from` to their run folder or export.

        Args:
            image: the images, or the vectors.
            label: int [N], their classes from 0 on, -1 where one is not known; None for none. A
                conditional VAE needs them.
            epochs: length of the run; None for that of the config, 10 where it has none.
            validation_size: images held out to choose the best epoch; None for 5000, or a tenth
                of the training images where that is less.
            model_dir: run folder, which keeps the images too, so that the same call or the command
                line resumes the run; None for a temporary one, deleted with the `VAE`.
            callbacks: functions (epoch, metrics), called after each epoch of this session with
                the metrics that `history` collects.
            verbose: print what the command line prints, with a progress bar where there is one.

        Returns:
            This object.

        Raises:
            ConfigError: the run folder is of another run, or there are fewer images than a batch.
            Interrupted: Ctrl-C; with `model_dir` the next call resumes the run.
            RunError: the run folder holds other images.
            ValueError: `image` is no array of images of this shape; `label` does not fit it, or
                makes more classes than half of the images and more than 1000; or a conditional VAE
                receives no labels.

        Example:
            >>> from vae_lowlevel.data.shapes import draw_shapes
            >>> vae = VAE(Config.from_flat({"network": "mlp", "batch_size": 20}), (12, 12))
            >>> vae = vae.fit(draw_shapes(100, 12, 0).image, epochs=2, verbose=False)
            >>> len(vae.history["val_loss"])
            2
        """
        stored = unit_images(image, self.image_shape)
        has_grey_levels = np.asarray(image).dtype == np.uint8
        if has_grey_levels or not is_vector_shape(self.image_shape):
            stored = np.rint(stored * 255.0).astype(np.uint8)
        labels = self._check_labels(label, len(stored))
        with contextlib.ExitStack() as stack:
            if not verbose:
                stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            if self._run is not None:
                print("fit was called before: this training starts again from the first weights")
            is_temporary = model_dir is None
            if is_temporary:
                # Kept as long as this object is, for `save`.
                parent = tempfile.mkdtemp(prefix="vae_lowlevel-")
                weakref.finalize(self, shutil.rmtree, parent)
                model_dir = os.path.join(parent, "run")
            config = self.config.replace(validation_size=validation_size)
            if epochs is not None:
                config = config.replace(epochs=epochs, train_steps=None)
            config, folder = open_array_run(config, model_dir, stored, labels)
            watchers = [EpochCallbacks(callbacks)] if callbacks else []
            model = train_run(config, folder, watchers, shows_progress=verbose)
            if is_temporary:
                os.remove(folder.kept_images)
        self._finish(load_model(model_dir) if model is None else model, folder)
        return self

    def summary(self) -> None:
        """Prints the layers with their output shapes and numbers of parameters."""
        self._check_usable()
        print(layer_table(self.model))

    def plot(
        self,
        path: str | None = None,
        count: int = 16,
        seed: int | None = None,
        label: Labels = None,
        *,
        temperature: float = 1.0,
    ) -> Image.Image:
        """Returns a grid of samples, which a notebook shows, and writes it to `path` if given."""
        return plot(self.sample(count, seed, label, temperature=temperature), path)

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
        self._check_usable()
        serving_model = ServingModel(self.model)
        return publish(lambda folder: write_version(folder, serving_model, name), base_dir, name)

    def _check_labels(self, label: np.ndarray | None, count: int) -> np.ndarray:
        labels = np.full(count, -1) if label is None else np.asarray(label)
        try:
            labels = check_labels(labels, count)
            count_classes([labels])
        except ValueError as error:
            raise ValueError(f"label: {error}") from None
        if self.config.model.conditional and labels.max(initial=-1) < 0:
            raise ValueError(
                "a conditional VAE learns from labels: give fit the class of each image"
            )
        return labels

    def _check_usable(self) -> None:
        if self.model is None:
            raise ValueError(
                "a conditional VAE learns its classes from labels: call fit(image, label) first"
            )

    def _call(self, name: str, label: Labels, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        self._check_usable()
        return super()._call(name, label, **inputs)

    def _finish(self, model: Model, folder: RunFolder) -> None:
        """Takes over a trained model and the history of its run."""
        self._use(model)
        self.history = collect_history(folder.read_metrics().get("history", []))
        self._run = folder.path

    def _use(self, model: Model) -> None:
        self.model = model
        super().__init__(
            ServingModel(model).signatures,
            model.image_shape,
            model.latent_dim,
            is_conditional=model.num_classes > 0,
        )


def load(path: str) -> VAE | Predictor:
    """Loads a trained model, to be used on NumPy arrays.

    Args:
        path: a run folder, an export's version folder, or the folder of its versions, of which the
            newest is loaded; or the address of one, such as gs://bucket/runs/mine.

    Returns:
        A `VAE` for a run folder. For an export a `Predictor`: it has all methods of a `VAE` that
        use a model, but not `fit` and what belongs to it.

    Raises:
        RunError: there is neither, or it cannot be read.
    """
    return VAE.from_run(path) if RunFolder(path).is_run() else load_predictor(path)


def _changed(config: Config) -> set[str]:
    """Returns the names of the settings that are not as they are by default."""
    default = Config().to_flat()
    return {name for name, value in config.to_flat().items() if value != default[name]}
