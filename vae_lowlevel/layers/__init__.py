"""Layers: `tf.Module`s that create their variables in `__init__`. One file per family."""
