"""Sizes of posteriors and priors that are built in a moment."""

SMALL = {
    "latent_dim": 3,
    "iaf_units": (8,),
    "iaf_context": 4,
    "prior_components": 5,
    "prior_flow_steps": 2,
    "prior_flow_units": (8,),
}
