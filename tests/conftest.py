"""Two logical CPU devices for every test, so that several replicas can be tried on one machine.

And a run folder made by hand, with its export, for all that reads runs.
"""

import contextlib
import json
import os
import signal

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# A shell without a terminal has what it starts in the background ignore Ctrl-C, and the package
# keeps ignored signals ignored: tests of Ctrl-C would wait for ever. `nohup` does so with SIGHUP.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def two_logical_cpus():
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    return tf.config.list_logical_devices("CPU")


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """A run folder: shapes of 12x12x1, D = 3, weights random everywhere so that nothing is flat."""
    import tensorflow as tf

    from vae_lowlevel import assembly
    from vae_lowlevel.config import Config
    from vae_lowlevel.config.flags import format_flagfile

    folder = tmp_path_factory.mktemp("runs") / "tiny"
    folder.mkdir()
    config = Config.from_flat(
        {
            "image_size": 12,
            "shapes_examples": 60,
            "validation_size": 10,
            "latent_dim": 3,
            "encoder_filters": (4, 8),
            "encoder_units": (8,),
            "decoder_filters": (8, 4, 4),
            "precision": "bfloat16",
            "model_dir": str(folder),
        }
    )
    (folder / "flags.cfg").write_text(format_flagfile(config))
    (folder / "data.json").write_text(json.dumps({"image_shape": [12, 12, 1], "class_names": []}))
    model = assembly.build_model(config.model, (12, 12, 1), config.training.seed)
    for index, variable in enumerate(model.trainable_variables):
        variable.assign_add(0.3 * tf.random.stateless_normal(variable.shape, [index, 0]))
    best = tf.train.Checkpoint(model=model)
    tf.train.CheckpointManager(best, str(folder / "best"), max_to_keep=1).save()
    return str(folder)


@pytest.fixture(scope="session")
def tiny_export(tiny_run, tmp_path_factory, without_replay):
    """The version folder of an export of `tiny_run`."""
    from vae_lowlevel.config.export import ExportOptions
    from vae_lowlevel.experiment.exporting import export_run

    options = ExportOptions(
        model_dir=tiny_run, export_dir=str(tmp_path_factory.mktemp("saved_models"))
    )
    with without_replay():
        return export_run(options)


@pytest.fixture(scope="session")
def without_replay():
    """A context in which exports are not replayed in a process of their own, which takes seconds.

    Replayed are the export of a bfloat16 model, one with other outputs, and that of the program.
    """
    from vae_lowlevel.serving import version_folder

    @contextlib.contextmanager
    def patched():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(version_folder, "start_replay", contextlib.nullcontext)
            patch.setattr(version_folder, "_example_requests", lambda *_: [])
            patch.setattr(version_folder, "_finish_replay", lambda *_: None)
            yield

    return patched


@pytest.fixture
def unchecked(without_replay):
    """Exports are not replayed."""
    with without_replay():
        yield
