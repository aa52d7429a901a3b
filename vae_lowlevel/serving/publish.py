"""Writes an export so that whoever watches the folder sees whole versions only."""

from __future__ import annotations

import errno
import os
import shutil
import uuid

import tensorflow as tf

from vae_lowlevel.errors import RunError
from vae_lowlevel.serving.signatures import ServingModel
from vae_lowlevel.serving.versions import next_version


def publish(serving_model: ServingModel, base_dir: str, name: str) -> str:
    """Saves a model as the next version `<base_dir>/<name>/<version>`.

    It is written to a hidden folder in `base_dir` and renamed, so a version is there whole or not
    at all, and two that publish at once get two versions.

    Args:
        serving_model: what to save; a fresh module, built outside any strategy's scope.
        base_dir: folder of all exports; made if missing.
        name: one folder name.

    Returns:
        The version's folder.

    Raises:
        RunError: the folder cannot be written.
    """
    staging = os.path.join(base_dir, f".publishing-{uuid.uuid4().hex}")
    try:
        os.makedirs(staging)
        tf.saved_model.save(serving_model, staging, signatures=serving_model.signatures)
        return _move_to_next_version(staging, os.path.join(base_dir, name))
    except (OSError, tf.errors.ResourceExhaustedError) as error:
        raise RunError(
            f"cannot write an export to {os.path.join(base_dir, name)}: {error}\nCheck the disk "
            "and the permissions, or choose another --export_dir"
        ) from error
    finally:
        if os.path.isdir(staging):
            shutil.rmtree(staging)


def _move_to_next_version(staging: str, folder: str) -> str:
    os.makedirs(folder, exist_ok=True)
    while True:
        target = os.path.join(folder, next_version(folder))
        try:
            os.rename(staging, target)
        except OSError as error:
            # Another process took this version after we counted: there is a higher one now.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        else:
            return target
