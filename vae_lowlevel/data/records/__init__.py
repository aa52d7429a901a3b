"""Images in TFRecord shards: files, index, stream, service and split."""
