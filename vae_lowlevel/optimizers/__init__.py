"""The optimiser, and what acts on gradients and weights: clipping, loss scaling, averaging."""
