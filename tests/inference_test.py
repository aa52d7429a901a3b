import os
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel import assembly, inference
from vae_lowlevel.config import Config
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.experiment import predicting
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import load_predictor
from vae_lowlevel.serving.predictor import Predictor
from vae_lowlevel.serving.signatures import ServingModel


def call(*words):
    """Runs the command line here, with TensorFlow's log left where it is."""
    return inference.main([*words, "--tensorflow_log"])


def test_images(tiny_run, count):
    test = load_dataset(RunFolder(tiny_run).read_config().data).test
    return test.image[:count].astype(np.float32) / 255.0


def test_labels(tiny_run, count):
    return load_dataset(RunFolder(tiny_run).read_config().data).test.label[:count]


test_images.__test__ = test_labels.__test__ = False


def read_png(path):
    return tf.io.decode_png(tf.io.read_file(str(path))).numpy()


def tile(picture, row, column):
    """One image of a grid of 12x12 tiles with lines of 2 pixels between them."""
    return picture[14 * row : 14 * row + 12, 14 * column : 14 * column + 12]


def assert_shows(picture, row, column, image):
    np.testing.assert_allclose(tile(picture, row, column), 255.0 * image, atol=0.501)


def test_encode_writes_the_posterior_of_the_first_test_images(tiny_run, tmp_path, capsys):
    path = str(tmp_path / "z.npz")
    assert call("encode", f"--model_dir={tiny_run}", f"--output={path}", "--count=3") == 0
    assert capsys.readouterr().out == f"wrote {path}\n"
    wanted = load_predictor(tiny_run).encode(test_images(tiny_run, 3))
    with np.load(path) as written:
        assert sorted(written.files) == ["label", "z_log_var", "z_mean"]
        np.testing.assert_array_equal(written["label"], test_labels(tiny_run, 3))
        np.testing.assert_array_equal(written["z_mean"], wanted.z_mean)
        np.testing.assert_array_equal(written["z_log_var"], wanted.z_log_var)


def test_sample_from_an_export_to_npz_and_png(tiny_export, tmp_path):
    for path in (tmp_path / "x.npz", tmp_path / "x.png"):
        words = [f"--model_dir={os.path.dirname(tiny_export)}", "--count=5", "--seed=4"]
        assert call("sample", *words, f"--output={path}") == 0
    with np.load(tmp_path / "x.npz") as written:
        image = written["image"]
    np.testing.assert_array_equal(image, load_predictor(tiny_export).sample(5, seed=4))
    picture = read_png(tmp_path / "x.png")
    assert picture.shape == (2 * 14 - 2, 3 * 14 - 2, 1)
    for index in range(5):
        assert_shows(picture, *divmod(index, 3), image[index])


def test_reconstruct_draws_each_image_over_its_reconstruction(tiny_export, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, [12, 12, 12], np.uint8)
    np.save(tmp_path / "x.npy", images)
    words = [f"--model_dir={tiny_export}", f"--input={tmp_path / 'x.npy'}"]
    assert call("reconstruct", *words, f"--output={tmp_path / 'x.png'}") == 0
    picture = read_png(tmp_path / "x.png")
    reconstruction = load_predictor(tiny_export).reconstruct(images)
    for index in range(12):
        row, column = divmod(index, 10)
        assert_shows(picture, 2 * row, column, images[index][..., None] / 255.0)
        assert_shows(picture, 2 * row + 1, column, reconstruction[index])


def test_interpolate_goes_from_each_image_to_the_next(tiny_run, tmp_path):
    for path in (tmp_path / "x.npz", tmp_path / "x.png"):
        words = [f"--model_dir={tiny_run}", "--count=3", "--steps=4"]
        assert call("interpolate", *words, f"--output={path}") == 0
    with np.load(tmp_path / "x.npz") as written:
        image = written["image"]
    assert image.shape == (2, 4, 12, 12, 1)
    ends = load_predictor(tiny_run).reconstruct(test_images(tiny_run, 3))
    np.testing.assert_allclose(image[:, 0], ends[:-1], atol=1e-6)
    np.testing.assert_allclose(image[:, -1], ends[1:], atol=1e-6)
    picture = read_png(tmp_path / "x.png")
    for pair in range(2):
        for step in range(4):
            assert_shows(picture, pair, step, image[pair, step])


def test_what_is_written_can_be_read_again(tiny_run, tmp_path):
    samples = tmp_path / "x.npz"
    assert call("sample", f"--model_dir={tiny_run}", "--count=3", f"--output={samples}") == 0
    words = [f"--model_dir={tiny_run}", f"--input={samples}", f"--output={tmp_path / 'z.npz'}"]
    assert call("encode", *words) == 0
    with np.load(tmp_path / "z.npz") as written:
        assert written["z_mean"].shape == (3, 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "first word .*encode, reconstruct, sample, interpolate"),
        (["paint"], "encode, reconstruct, sample, interpolate.*'paint'"),
        (["sample", "--output=x.npz"], "--model_dir .*a run folder or an export"),
        (["sample", "--model_dir=m"], r"--output .*\.npz or \.png"),
        (["sample", "--model_dir=m", "--output=x.jpg"], r"--output.*\.npz or \.png.*'x\.jpg'"),
        (["encode", "--model_dir=m", "--output=x.png"], r"--output.*encode.*\.npz, .*'x\.png'"),
        (["sample", "--model_dir=m", "--output=no/x.png"], r"--output=no/x\.png.*no folder no"),
        (["sample", "--model_dir=m", "--output=x.png", "--input=y.npy"], r"out --input=y\.npy"),
        (["sample", "--model_dir=m", "--output=x.png", "--count=0"], "--count.* at least 1.* 0"),
        (
            ["interpolate", "--model_dir=m", "--output=x.png", "--steps=1"],
            "--steps.*at least 2.* 1",
        ),
        (["sample", "more", "--model_dir=m", "--output=x.png"], "not a flag: 'more'"),
    ],
)
def test_bad_command_lines(words, message, capsys):
    assert call(*words) == 2
    assert re.search(message, capsys.readouterr().err)


def test_an_export_needs_input(tiny_export, tmp_path, capsys):
    words = [f"--model_dir={tiny_export}", f"--output={tmp_path / 'x.npz'}"]
    assert call("encode", *words) == 2
    assert "--input is needed" in capsys.readouterr().err


def test_a_folder_without_a_model(tmp_path, capsys):
    assert call("sample", f"--model_dir={tmp_path}", f"--output={tmp_path / 'x.npz'}") == 1
    assert "expected a run folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "array", "message"),
    [
        ("encode", np.zeros([2, 28, 28]), r"x\.npy: .*\[N, 12, 12, 1\].*\[2, 28, 28\]"),
        ("encode", np.zeros([0, 12, 12]), r"x\.npy: .*at least one image"),
        ("interpolate", np.zeros([1, 12, 12]), "2 or more images, found 1"),
    ],
)
def test_images_that_do_not_fit(tiny_run, tmp_path, capsys, command, array, message):
    np.save(tmp_path / "x.npy", array)
    words = [f"--input={tmp_path / 'x.npy'}", f"--output={tmp_path / 'y.npz'}"]
    assert call(command, f"--model_dir={tiny_run}", *words) == 1
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "y.npz").exists()


def test_damaged_input_is_one_line(tiny_run, tmp_path, capsys):
    path = tmp_path / "x.npz"
    np.savez(path, image=np.zeros([2, 12, 12], np.uint8))
    content = bytearray(path.read_bytes())
    content[content.index(b"'shape': (2") + 10] = ord("9")
    path.write_bytes(content)
    words = [f"--input={path}", f"--output={tmp_path / 'y.npz'}"]
    assert call("encode", f"--model_dir={tiny_run}", *words) == 1
    shown = capsys.readouterr().err
    assert re.fullmatch(rf"error: {re.escape(str(path))}: expected an \.npz file.*\n", shown)


def test_a_label_that_the_model_does_not_have_is_one_line(monkeypatch, tmp_path, capsys):
    config = Config.from_flat(
        {"network": "mlp", "encoder_units": (4,), "decoder_units": (4,), "conditional": True}
    )
    model = assembly.build_model(config.model, (8, 8, 1), 0, 10)
    predictor = Predictor.from_model(ServingModel(model))
    monkeypatch.setattr(predicting, "load_predictor", lambda _: predictor)
    for label in (11, 2**31 - 1):
        words = ["--model_dir=any", f"--label={label}", f"--output={tmp_path / 'y.npz'}"]
        assert call("sample", *words) == 2
        shown = capsys.readouterr().err
        assert re.fullmatch(
            rf"error: --label={label}: .*label must be in \[-1, 9\].*\nSee --help\.\n", shown
        )


def test_help_answers_without_tensorflow():
    program = (
        "import sys\n"
        "from vae_lowlevel import cli, export, inference\n"
        "assert inference.main(['--help']) == 0\n"
        "assert inference.main(['paint']) == 2\n"
        "assert cli.main('', export.ExportOptions, export.run, ['--help']) == 0\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert "--steps  int" in shown
    assert "--export_dir  str  (default: saved_models)" in shown


def read(path, name="image"):
    with np.load(path) as written:
        return written[name]


def test_temperature_scales_the_draws(tiny_run, tmp_path):
    path = str(tmp_path / "x.npz")
    words = [f"--model_dir={tiny_run}", "--count=3", f"--output={path}"]
    assert call("sample", "--seed=1", "--temperature=0.5", *words) == 0
    model = load_predictor(tiny_run)
    z = model.sample_latents(3, seed=1)
    np.testing.assert_allclose(read(path), model.decode(z / 2), atol=1e-5)


def test_interpolation_between_draws_from_the_prior(tiny_run, tmp_path):
    path = str(tmp_path / "x.npz")
    words = [f"--model_dir={tiny_run}", "--between=samples", "--count=3", "--seed=2"]
    assert call("interpolate", *words, "--path=spherical", "--steps=4", f"--output={path}") == 0
    model = load_predictor(tiny_run)
    drawn = model.sample(3, seed=2)
    image = read(path)
    assert image.shape[:2] == (2, 4)
    np.testing.assert_allclose(image[:, 0], drawn[:2], atol=1e-5)
    np.testing.assert_allclose(image[:, -1], drawn[1:], atol=1e-5)


def test_interpolation_between_the_means_of_classes(tiny_run, tmp_path):
    path = str(tmp_path / "x.npz")
    words = [f"--model_dir={tiny_run}", "--between=classes", "--steps=3", f"--output={path}"]
    assert call("interpolate", *words) == 0
    model = load_predictor(tiny_run)
    labels = test_labels(tiny_run, None)
    z = model.encode(test_images(tiny_run, None)).z_mean
    means = np.stack([z[labels == number].mean(0) for number in range(labels.max() + 1)])
    np.testing.assert_allclose(read(path)[:, 0], model.decode(means[:-1]), atol=1e-5)
    np.testing.assert_allclose(read(path)[:, -1], model.decode(means[1:]), atol=1e-5)


def test_traverse_moves_one_dimension_after_another_the_most_active_first(tiny_run, tmp_path):
    path = str(tmp_path / "x.npz")
    words = [f"--model_dir={tiny_run}", "--steps=5", "--span=2", f"--output={path}"]
    assert call("traverse", *words) == 0
    model = load_predictor(tiny_run)
    z = model.encode(test_images(tiny_run, None)).z_mean
    order = read(path, "dimension")
    assert np.all(np.diff(z.var(0)[order]) <= 0)
    wanted = z[0].copy()
    wanted[order[0]] = -2.0
    np.testing.assert_allclose(read(path)[0, 0], model.decode(wanted[None])[0], atol=1e-5)
    middle = z[0].copy()
    middle[order[-1]] = 0.0
    np.testing.assert_allclose(read(path)[-1, 2], model.decode(middle[None])[0], atol=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["interpolate", "--between=samples", "--input=x.npy"], "takes no images: leave out"),
        (["interpolate", "--between=classes", "--input=x.npy"], "uses the labelled test images"),
        (["sample", "--temperature=-1"], "--temperature must be at least 0"),
        (["traverse", "--span=0"], "--span must be .*0"),
    ],
)
def test_options_that_do_not_fit_are_refused(words, message, tiny_run, tmp_path, capsys):
    assert call(*words, f"--model_dir={tiny_run}", f"--output={tmp_path / 'x.npz'}") == 2
    assert re.search(message, capsys.readouterr().err)
