"""Figures of arrays: grids and sheets of images, the latent plane, curves, scores, animations."""
