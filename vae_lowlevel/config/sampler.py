"""What the programs that sample from a trained model share: the choice of the density of z."""

SAMPLERS = ("prior", "gmm", "aggregate", "flow")
SAMPLER_HELP = (
    "Density from which z is drawn. prior: p(z) of the model. The others are made from codes of "
    "training images. gmm: mixture of Gaussians. aggregate: mixture of the posteriors of 1000 "
    "images. flow: N(0, I) transformed by affine couplings."
)
COMPONENTS_HELP = "sampler=gmm: number of Gaussians."
MOST_COMPONENTS = 10_000
