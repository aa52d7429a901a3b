"""Settings that an evaluation chooses itself."""

from __future__ import annotations

import pytest

from vae_lowlevel.config import Config
from vae_lowlevel.config.evaluate import EvaluateOptions
from vae_lowlevel.experiment import subject as subject_module
from vae_lowlevel.experiment.subject import Subject


@pytest.mark.parametrize(
    ("network", "device", "given", "expected"),
    [
        ("mlp", "CPU", None, 2000),
        ("conv", "CPU", None, 250),
        ("resnet", "CPU", None, 250),
        ("conv", "GPU", None, 2000),
        ("conv", "CPU", 70, 70),
    ],
)
def test_networks_with_maps_decode_few_images_at_a_time_on_a_cpu(
    monkeypatch, network, device, given, expected
):
    monkeypatch.setattr(subject_module, "visible_device_type", lambda: device)
    options = EvaluateOptions(model_dir="runs/any", decode_batch=given)
    config = Config.from_flat({"network": network})
    subject = Subject(config, folder=None, dataset=None, model=None, options=options)
    assert subject.decode_batch == expected
