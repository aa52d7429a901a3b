"""Pictures of a run: image grids, the latent plane, the figures a run leaves behind."""
