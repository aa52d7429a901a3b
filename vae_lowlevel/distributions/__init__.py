"""Posteriors, priors and likelihoods: modules that return TFP distributions."""
