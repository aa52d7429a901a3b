"""Posteriors, priors and likelihoods: they turn a network's output into TFP distributions."""
