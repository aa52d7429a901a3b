"""Lowers the training step of a flagfile to XLA's programs for GPUs and TPUs, without one."""
