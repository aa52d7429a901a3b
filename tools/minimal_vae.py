"""A whole VAE on one screen: `python tools/minimal_vae.py [data set]`, by default drawn shapes."""

import sys

import tensorflow as tf

from vae_lowlevel.config import DataConfig
from vae_lowlevel.data.batching import BatchOrder
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.distributions import likelihoods, posteriors, priors
from vae_lowlevel.models.vae import VariationalAutoencoder
from vae_lowlevel.networks.mlp import mlp_decoder, mlp_encoder
from vae_lowlevel.objectives.elbo import Elbo
from vae_lowlevel.optimizers.adam import Adam
from vae_lowlevel.optimizers.clipping import clip_gradients
from vae_lowlevel.plots.grids import image_grid
from vae_lowlevel.plots.png import encode_png
from vae_lowlevel.randomness import BatchNoise, fold, make_seed
from vae_lowlevel.schedules import linear
from vae_lowlevel.types import Batch, to_unit

LATENT_DIM, BATCH_SIZE, SEED = 10, 128, make_seed(0)


def main(data_config, epochs=10, folder="runs/minimal_vae"):
    data = load_dataset(data_config)
    shared = {"image_shape": data.image_shape, "activation": tf.nn.relu, "dtype": tf.float32}
    vae = VariationalAutoencoder(
        image_shape=data.image_shape,
        latent_dim=LATENT_DIM,
        encoder=mlp_encoder(units=[1024, 512], out_features=2 * LATENT_DIM, seed=SEED, **shared),
        posterior=posteriors.DiagonalPosterior(LATENT_DIM),
        prior=priors.StandardPrior(LATENT_DIM),
        decoder=mlp_decoder(in_features=LATENT_DIM, units=[512, 1024], seed=SEED, **shared),
        likelihood=likelihoods.BernoulliLikelihood(),
    )
    objective = Elbo(kl_weight=linear(1.0, warmup_steps=1000))
    optimizer = Adam(vae.trainable_variables)

    def compute_terms(batch, step):
        noise = BatchNoise(fold(SEED, step), 0, len(batch.label), len(batch.label))
        return objective(vae, batch, noise, step, global_mean=lambda x: tf.reduce_mean(x, 0))

    @tf.function
    def train_step(batch, step):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(compute_terms(batch, step).loss)
        safe = clip_gradients(tape.gradient(loss, vae.trainable_variables), clip_norm=100.0)
        optimizer.apply(vae.trainable_variables, safe.gradients, 1e-3, safe.is_finite)

    order = BatchOrder(len(data.train), BATCH_SIZE, seed=0)
    test = Batch(to_unit(data.test.image), data.test.label)
    for epoch in range(epochs):
        first = epoch * order.steps_per_epoch
        for step, rows in enumerate(order.block(first, order.steps_per_epoch), first):
            examples = data.train[rows]
            train_step(Batch(to_unit(examples.image), examples.label), tf.constant(step))
        elbo = tf.reduce_mean(compute_terms(test, step).elbo)
        print(f"epoch {epoch + 1}: ELBO of the test set {elbo:.2f} nats per example")

    samples = vae.sample(64, SEED).numpy()
    tf.io.write_file(f"{folder}/samples.png", encode_png(image_grid(samples, columns=16)))
    image = tf.TensorSpec([None, *vae.image_shape], name="image")
    z = tf.TensorSpec([None, LATENT_DIM], name="z")
    seed = tf.TensorSpec([2], tf.int32, name="seed")
    signatures = {
        "encode": tf.function(vae.describe, [image]),
        "decode": tf.function(lambda z: {"image": vae.decode(z).mean()}, [z]),
        "sample": tf.function(lambda seed: {"image": vae.sample(64, seed)}, [seed]),
    }
    tf.saved_model.save(vae, f"{folder}/saved_model", signatures)


if __name__ == "__main__":
    main(DataConfig(dataset=sys.argv[1] if sys.argv[1:] else "shapes"))
