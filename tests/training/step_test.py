import re

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel import schedules
from vae_lowlevel.objectives.elbo import Elbo
from vae_lowlevel.randomness import BatchNoise, fold, make_seed
from vae_lowlevel.training.named_variables import named_variables
from vae_lowlevel.training.step import STEP_SCALARS, step_columns
from vae_lowlevel.types import Batch


def train(run, steps=4):
    return run.block(run.images, run.labels, tf.constant(run.order), tf.constant(steps)).numpy()


def variables(run):
    return [variable.numpy() for variable in run.state.variables]


def test_a_block_equals_plain_steps_written_by_hand(make_run):
    run, plain = make_run(clip_norm=5.0), make_run()
    values = train(run)

    model = plain.state.model
    m = [np.zeros(v.shape) for v in model.trainable_variables]
    v = [np.zeros(v.shape) for v in model.trainable_variables]
    for step in range(4):
        rows = plain.order[step]
        image = tf.gather(plain.images, rows)
        image = tf.cast(image, tf.float32) / 255
        noise = BatchNoise(
            fold(fold(make_seed(0), "training"), tf.constant(step, tf.int64)), 0, 8, 8
        )
        with tf.GradientTape() as tape:
            terms = plain.objective(
                model,
                Batch(image, tf.zeros([8], tf.int32)),
                noise,
                tf.constant(step),
                lambda x: tf.reduce_mean(x, 0),
            )
            loss = tf.reduce_mean(terms.loss)
        gradients = [
            g.numpy().astype(float) for g in tape.gradient(loss, model.trainable_variables)
        ]
        norm = np.sqrt(sum((g**2).sum() for g in gradients))
        assert values[step][0] == pytest.approx(float(loss), rel=1e-4)
        assert values[step][-2] == pytest.approx(norm, rel=1e-3)
        for i, (variable, g) in enumerate(zip(model.trainable_variables, gradients, strict=True)):
            g = g * min(1.0, 5.0 / norm)
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.999 * v[i] + 0.001 * g**2
            t = step + 1
            rate = 1e-3 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            variable.assign(variable.numpy() - rate * m[i] / (np.sqrt(v[i]) + 1e-7))
    for trained, expected in zip(
        run.state.model.trainable_variables, model.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(trained.numpy(), expected.numpy(), atol=2e-5)


def test_one_call_and_four_calls_give_the_same_bits(make_run):
    whole, parts = make_run(), make_run()
    train(whole)
    for step in range(4):
        rows = np.zeros_like(parts.order)
        rows[0] = parts.order[step]
        parts.block(parts.images, parts.labels, tf.constant(rows), tf.constant(1))
    assert int(parts.state.step) == 4
    for a, b in zip(variables(whole), variables(parts), strict=True):
        np.testing.assert_array_equal(a, b)


SPARSE = {"model": "sparse_autoencoder", "sparsity_target": 0.1}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"free_bits": 0.01, "clip_norm": 1.0},
        {"capacity": 20.0, "capacity_epochs": 1.0, "kl_weight": 10.0},
        SPARSE,
        {**SPARSE, "latent_activation": "relu", "corruption": "salt_and_pepper"},
        {"conditional": True, "corruption": "gaussian", "ema_decay": 0.5, "freeze": "decoder"},
    ],
    ids=str,
)
def test_two_replicas_train_as_one(make_run, two_logical_cpus, settings):
    one = make_run(**settings)
    two = make_run(
        tf.distribute.MirroredStrategy(
            [device.name for device in two_logical_cpus],
            cross_device_ops=tf.distribute.ReductionToOneDevice(),
        ),
        **settings,
    )
    np.testing.assert_allclose(train(one), train(two), rtol=2e-4, atol=1e-6)
    for a, b in zip(one.state.variables, two.state.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-3, atol=3e-5)


@pytest.mark.long
def test_data_in_a_variable_of_the_strategy_train_as_tensors(make_run, two_logical_cpus):
    one = make_run()
    strategy = tf.distribute.MirroredStrategy(
        [device.name for device in two_logical_cpus],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )
    two = make_run(strategy)
    with strategy.scope():
        two.images = tf.Variable(two.images, trainable=False)
        two.labels = tf.Variable(two.labels, trainable=False)
    np.testing.assert_allclose(train(one), train(two), rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"clip_norm": 1.0, "ema_decay": 0.5, "accumulate_steps": 2},
        {"free_bits": 0.01},
        {"capacity": 20.0, "capacity_epochs": 1.0, "kl_weight": 10.0, "conditional": True},
        pytest.param({"objective": "tcvae", "kl_weight": 4.0}, marks=pytest.mark.long),
        {"objective": "iwae", "num_samples": 3, "prior": "vamp", "prior_components": 5},
        {**SPARSE, "network": "mlp", "encoder_units": (8,), "decoder_units": (8,)},
    ],
    ids=str,
)
def test_parts_side_by_side_train_as_the_whole(make_run, settings):
    whole, parts = make_run(**settings), make_run(**settings, batch_parts=3)
    np.testing.assert_allclose(train(whole), train(parts), rtol=2e-4, atol=1e-6)
    for a, b in zip(whole.state.variables, parts.state.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-3, atol=3e-5)


@pytest.mark.parametrize(
    ("compilation", "replicas", "parts"),
    [
        ("none", 1, 4),
        ("none", 2, 2),
        *(
            pytest.param(*case, marks=pytest.mark.long)
            for case in (("gradients", 1, 2), ("block", 1, 2), ("gradients", 2, 2))
        ),
    ],
)
def test_parts_of_a_batch_train_as_the_whole(
    make_run, two_logical_cpus, parts, compilation, replicas
):
    settings = {"corruption": "gaussian", "clip_norm": 1.0}
    if compilation != "none":
        # XLA compiles these in a fraction of the time.
        settings |= {"network": "mlp", "encoder_units": (8,), "decoder_units": (8,)}
    strategy = None
    if replicas == 2:
        strategy = tf.distribute.MirroredStrategy(
            [device.name for device in two_logical_cpus],
            cross_device_ops=tf.distribute.ReductionToOneDevice(),
        )
    # XLA draws other noise than TensorFlow's kernels.
    whole = make_run(compilation=compilation, **settings)
    summed = make_run(strategy, compilation=compilation, accumulate_steps=parts, **settings)
    np.testing.assert_allclose(train(whole), train(summed), rtol=2e-4, atol=1e-6)
    for a, b in zip(whole.state.variables, summed.state.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-3, atol=3e-5)


def test_replicas_on_both_sides_of_the_capacity_train_as_one(make_run, two_logical_cpus):
    run = make_run()
    model = run.state.model
    image = tf.cast(tf.gather(run.images, run.order[0]), tf.float32) / 255
    rate = tf.reduce_sum(model.kl_per_dimension(model.encode(image)), -1).numpy()
    first, second = rate[:4].mean(), rate[4:].mean()
    # Between the means of the halves, but not in the middle: their mean is above or below.
    capacity = 0.7 * first + 0.3 * second
    assert abs(first - second) > 1e-3
    objective = Elbo(
        kl_weight=schedules.constant(1e4), capacity=schedules.constant(float(capacity))
    )
    one = make_run(objective=objective)
    strategy = tf.distribute.MirroredStrategy(
        [device.name for device in two_logical_cpus],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )
    two = make_run(strategy, objective=objective)
    values, expected = train(two, steps=1)[0], train(one, steps=1)[0]
    np.testing.assert_allclose(values, expected, rtol=2e-4, atol=1e-6)
    terms = dict(zip(objective.terms, expected, strict=False))
    distance = 1e4 * abs(terms["rate"] - capacity)
    assert terms["loss"] == pytest.approx(terms["distortion"] + distance, rel=1e-3)


def test_replicas_on_both_sides_of_the_free_bits_train_as_one(make_run, two_logical_cpus):
    run = make_run()
    model = run.state.model
    image = tf.cast(tf.gather(run.images, run.order[0]), tf.float32) / 255
    kl = model.kl_per_dimension(model.encode(image)).numpy()
    halves = np.stack([kl[:4].mean(0), kl[4:].mean(0)])
    dimension = np.argmax(abs(halves[0] - halves[1]))
    # Between the means of the halves, but not in the middle: only the mean of all decides.
    free_bits = float(0.7 * halves[0, dimension] + 0.3 * halves[1, dimension])
    assert np.ptp(halves[:, dimension]) > 1e-3
    objective = Elbo(kl_weight=schedules.constant(1e4), free_bits=free_bits)
    one = make_run(objective=objective)
    strategy = tf.distribute.MirroredStrategy(
        [device.name for device in two_logical_cpus],
        cross_device_ops=tf.distribute.ReductionToOneDevice(),
    )
    two = make_run(strategy, objective=objective)
    values, expected = train(two, steps=1)[0], train(one, steps=1)[0]
    np.testing.assert_allclose(values, expected, rtol=2e-4, atol=1e-6)
    terms = dict(zip(objective.terms, expected, strict=False))
    penalised = np.where(kl.mean(0) > free_bits, kl, free_bits).sum(-1).mean()
    assert terms["loss"] == pytest.approx(terms["distortion"] + 1e4 * penalised, rel=1e-3)


class Wrapped:
    """An objective with other noise, or another loss at some step."""

    def __init__(self, objective):
        self._objective = objective
        self.terms = objective.terms
        self.schedules = objective.schedules


class WithoutNoise(Wrapped):
    class _Zero:
        def normal(self, purpose, shape):
            return tf.zeros([8, *shape])

    def __call__(self, model, batch, noise, step, global_mean):
        return self._objective(model, batch, self._Zero(), step, global_mean)


class BrokenAtStepOne(Wrapped):
    def __call__(self, model, batch, noise, step, global_mean):
        terms = self._objective(model, batch, noise, step, global_mean)
        return terms._replace(loss=terms.loss * tf.where(step == 1, np.nan, 1.0))


@pytest.mark.long
@pytest.mark.parametrize("compilation", ["gradients", "block"])
def test_xla_trains_as_without(make_run, compilation):
    # XLA draws other numbers from the same seed, so the noise is left out.
    objective = WithoutNoise(make_run().objective)
    plain = make_run(network="mlp", objective=objective)
    compiled = make_run(network="mlp", objective=objective, compilation=compilation)
    np.testing.assert_allclose(train(plain), train(compiled), rtol=2e-4, atol=1e-6)
    for a, b in zip(variables(plain), variables(compiled), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=3e-5)


def test_rows_after_the_last_step_are_zero_and_nothing_retraces(make_run):
    run = make_run()
    assert not train(run, steps=2)[2:].any()
    train(run, steps=4)
    assert run.block.experimental_get_tracing_count() == 1


def test_one_program_of_xla_runs_any_number_of_steps(make_run):
    run = make_run(network="mlp", compilation="block")
    # TensorFlow draws a number to learn the device's name, which op determinism, where another test
    # turned it on, wants seeded.
    tf.random.set_seed(0)

    def program(steps):
        arguments = run.images, run.labels, tf.constant(run.order), tf.constant(steps)
        text = run.block.experimental_get_compiler_ir(*arguments)(stage="hlo")
        # TensorFlow 2.18 numbers programs and operations on and on: here by their place.
        text = re.sub(r"HloModule [\w.]+", "", text)
        names = {}
        return re.sub(r"%[\w.-]+", lambda name: names.setdefault(name[0], f"%{len(names)}"), text)

    # What XLA takes as a constant stands in the program, and another value compiles another one.
    assert program(1) == program(4)


@pytest.mark.long
def test_a_step_without_finite_gradients_changes_nothing_but_the_step(make_run):
    healthy = make_run()
    broken = make_run(objective=BrokenAtStepOne(healthy.objective))
    values = train(broken, steps=1)
    before = {v.name: v.numpy() for v in broken.state.variables}
    values = broken.block(
        broken.images, broken.labels, tf.constant(broken.order), tf.constant(1)
    ).numpy()
    assert values[0][STEP_SCALARS.index("skipped") - len(STEP_SCALARS)] == 1.0
    after = {v.name: v.numpy() for v in broken.state.variables}
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    assert changed == ["step:0"]


@pytest.mark.long
def test_the_seed_decides(make_run):
    first, again, other = make_run(seed=3), make_run(seed=3), make_run(seed=4)
    np.testing.assert_array_equal(train(first), train(again))
    assert not np.allclose(train(first), train(other))


def test_capacity_draws_the_rate_up_and_down(make_run):
    """From a rate near 0, a capacity makes it grow; without one the KL only shrinks it."""
    to_capacity = make_run(
        capacity=5.0, capacity_epochs=0.01, kl_weight=100.0, learning_rate=0.02, block_steps=4
    )
    drawn = [train(to_capacity)[-1] for _ in range(10)][-1]
    rate = to_capacity.objective.terms.index("rate")
    plain = make_run(kl_weight=100.0, learning_rate=0.02, block_steps=4)
    shrunk = [train(plain)[-1] for _ in range(10)][-1]
    assert drawn[rate] == pytest.approx(5.0, abs=2.0)
    assert shrunk[rate] < 0.5
    columns = step_columns(to_capacity.objective, to_capacity.state)
    assert drawn[columns.index("capacity")] == 5.0
    assert drawn[columns.index("kl_weight")] == 100.0


@pytest.mark.parametrize("freeze", ["encoder", "decoder", "*/bias, encoder/conv_0"])
def test_frozen_variables_keep_every_bit_and_have_no_slots(make_run, freeze):
    run = make_run(freeze=freeze, ema_decay=0.9)
    names = named_variables(run.state.model)
    before = {name: variable.numpy() for name, variable in names.items()}
    train(run)
    changed = {n for n, variable in names.items() if np.any(variable.numpy() != before[n])}
    patterns = {
        "encoder": lambda name: name.startswith("encoder/"),
        "decoder": lambda name: name.startswith("decoder/"),
        "*/bias, encoder/conv_0": lambda name: (
            name.endswith("/bias") or name == "encoder/conv_0/kernel"
        ),
    }
    frozen = {name for name in names if patterns[freeze](name)}
    assert changed == set(names) - frozen
    assert frozen
    shapes = sorted(tuple(names[name].shape) for name in changed)
    assert sorted(tuple(slot.shape) for slot in run.state.optimizer.m) == shapes
    for name, variable in named_variables(run.state.averaged.model).items():
        assert np.array_equal(variable, before[name]) == (name in frozen)


def test_averages_are_those_of_the_weights_after_each_step(make_run):
    run, plain = make_run(ema_decay=0.15), make_run()
    assert run.state.evaluated_model is run.state.averaged.model
    expected = [variable.numpy() for variable in plain.state.model.variables]
    for step in range(4):
        rows = np.zeros_like(plain.order)
        rows[0] = plain.order[step]
        for one in (run, plain):
            one.block(one.images, one.labels, tf.constant(rows), tf.constant(1))
        decay = min(0.15, (2 + step) / (11 + step))
        for i, variable in enumerate(plain.state.model.variables):
            expected[i] = decay * expected[i] + (1 - decay) * variable.numpy()
    for average, value in zip(run.state.averaged.model.variables, expected, strict=True):
        np.testing.assert_allclose(average, value, rtol=1e-4, atol=1e-6)
    # Averaging has no influence on what is averaged.
    for a, b in zip(run.state.model.variables, plain.state.model.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_float16_recovers_from_overflow_by_a_smaller_scale(make_run):
    run = make_run(precision="float16", loss_scale_growth_steps=2)
    run.state.loss_scale.scale.assign(2.0**40)
    columns = step_columns(run.objective, run.state)
    values = np.concatenate([train(run) for _ in range(8)])
    skipped, scale = values[:, columns.index("skipped")], values[:, columns.index("loss_scale")]
    assert skipped[0] == 1.0
    assert not skipped[-2:].all()
    for before, after, is_skipped in zip(scale, scale[1:], skipped, strict=False):
        assert after == before / 2 if is_skipped else after in (before, 2 * before)
    assert int(run.state.optimizer.updates) == len(values) - int(skipped.sum())
    assert np.all(np.isfinite(values[skipped == 0]))


@pytest.mark.parametrize("network", ["conv", "mlp"])
def test_float16_trains_as_float32_within_its_precision(make_run, network):
    # Its own rounding is 5e-4; the scale itself must not show.
    single, half = make_run(network=network), make_run(network=network, precision="float16")
    loss = single.objective.terms.index("loss")
    np.testing.assert_allclose(train(half)[:, loss], train(single)[:, loss], rtol=3e-3)
    assert {variable.dtype for variable in half.state.model.variables} == {tf.float32}
