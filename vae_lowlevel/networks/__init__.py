"""Bodies of encoders and decoders, built as chains of layers."""
