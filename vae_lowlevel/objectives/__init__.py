"""Objectives: what is minimised, in per-example terms."""
