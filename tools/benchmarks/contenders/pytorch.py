"""PyTorch: an ordinary training loop, eager or compiled, in the fastest of several settings."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_latents import AutoregressiveFlow, FlowPrior, StandardPrior, VampPrior, log_normal
from torch import nn
from turns import Contender, take_turns, timed

ACTIVATIONS = {"relu": F.relu, "silu": F.silu}


class Layer(nn.Module):
    """One layer of a description. Images are [B, C, H, W]."""

    def __init__(self, layer: dict[str, Any]) -> None:
        super().__init__()
        self.layer = layer
        self.activation = ACTIVATIONS.get(layer.get("activation"))
        kind = layer["kind"]
        if kind == "linear":
            self.inner = nn.Linear(layer["in"], layer["out"])
        elif kind == "conv":
            self.inner = nn.Conv2d(
                layer["in"],
                layer["out"],
                layer["kernel"],
                layer["stride"],
                padding=layer["kernel"] // 2,
            )
        elif kind == "conv_transpose":
            self.inner = nn.ConvTranspose2d(
                layer["in"],
                layer["out"],
                layer["kernel"],
                layer["stride"],
                padding=layer["kernel"] // 2,
                output_padding=layer["stride"] - 1,
            )
        elif kind == "norm":
            self.inner = nn.GroupNorm(layer["groups"], layer["channels"], eps=1e-5)
        elif kind == "residual":
            self.inner = nn.Sequential(*map(Layer, layer["layers"]))
        for name, parameter in self.named_parameters(recurse=True):
            if kind in ("linear", "conv", "conv_transpose"):
                nn.init.zeros_(parameter) if name.endswith("bias") else nn.init.xavier_uniform_(
                    parameter
                )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        layer, kind = self.layer, self.layer["kind"]
        if kind == "residual":
            return x + self.inner(x)
        if kind == "flatten":
            return x.flatten(1)
        if kind == "reshape":
            height, width, channels = layer["shape"]
            return x.reshape(-1, channels, height, width)
        if kind == "pool":
            return x.float().mean((2, 3))
        if kind == "upsample":
            return F.interpolate(x, scale_factor=layer["factor"], mode="nearest")
        if kind == "pad":
            height, width = layer["size"]
            return F.pad(x, (0, width - x.shape[3], 0, height - x.shape[2]))
        if kind == "crop":
            height, width = layer["size"]
            return x[:, :, :height, :width]
        if layer.get("is_float32"):
            with torch.autocast("cpu", enabled=False):
                x = self.inner(x.float())
        else:
            x = self.inner(x)
        return x if self.activation is None else self.activation(x)


class TorchVAE(nn.Module):
    """The same model and loss as the package's."""

    def __init__(self, case: dict[str, Any]) -> None:
        super().__init__()
        network = case["network"]
        self.encoder = nn.Sequential(*map(Layer, network["encoder"]))
        self.decoder = nn.Sequential(*map(Layer, network["decoder"]))
        self.flow = AutoregressiveFlow(
            [[Layer(layer) for layer in step["layers"]] for step in network["posterior"]],
            [ACTIVATIONS[step["activation"]] for step in network["posterior"]],
        )
        self.prior = build_prior(network["prior"])
        self.is_gaussian = not network["posterior"] and not network["prior"]
        self.latent_dim = network["decoder"][0]["in"]
        self.is_bernoulli = case["settings"]["likelihood"] == "bernoulli"
        self.kl_weight = case["settings"]["kl_weight"]

    def encode(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Returns mean and log-variance [B, D], and the context of the flow, [B, 0] without one."""
        splits = self.latent_dim, 2 * self.latent_dim
        mean, raw, context = self.encoder(image).float().tensor_split(splits, -1)
        return mean, 10.0 * torch.tanh(raw / 10.0), context

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        image = image.float() / 255.0
        mean, log_variance, context = self.encode(image)
        noise = torch.randn_like(mean)
        z = mean + torch.exp(0.5 * log_variance) * noise
        if self.is_gaussian:
            kl = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1.0).sum(-1)
        else:
            z, log_det = self.flow(z, context)
            log_q = log_normal(noise) - 0.5 * log_variance.sum(-1) - log_det
            kl = log_q - self.prior(z, self.encode)
        logits = self.decoder(z).float()
        if self.is_bernoulli:
            error = F.binary_cross_entropy_with_logits(logits, image, reduction="none")
            error = error.sum((1, 2, 3))
        else:
            error = (torch.sigmoid(logits) - image).square().mean((1, 2, 3))
        return (error + self.kl_weight * kl).mean()


def build_prior(layers: list[dict[str, Any]]) -> nn.Module:
    """Returns a module that computes log p(z) [B] from z [B, D] and the method `encode`."""
    if not layers:
        return StandardPrior()
    if layers[0]["kind"] == "pseudo_inputs":
        return VampPrior(layers[0]["count"], layers[0]["shape"])
    return FlowPrior([nn.Sequential(*map(Layer, coupling["layers"])) for coupling in layers])


def build(case: dict[str, Any], *, channels_last: bool, compiled: bool) -> Contender:
    """Builds the loop in one setting: one step per call, the loss is read at the end."""
    torch.manual_seed(0)
    images = torch.from_numpy(np.load(case["images"])).permute(0, 3, 1, 2).contiguous()
    batch_size = case["batch_size"]
    model = TorchVAE(case)
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    optimizer = torch.optim.Adam(
        model.parameters(), case["settings"]["learning_rate"], eps=1e-7, fused=True
    )
    compute_loss = torch.compile(model) if compiled else model
    is_half = case["precision"] != "float32"

    def train(steps: int) -> float:
        order = torch.randperm(len(images))
        for step in range(steps):
            first = step * batch_size % (len(images) - batch_size + 1)
            rows = order[first : first + batch_size]
            image = images[rows]
            if channels_last:
                image = image.to(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=is_half):
                loss = compute_loss(image)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return float(loss)

    return Contender(timed(train, batch_size), parameters, 5)


SETTINGS = {
    "eager": (False, False),
    "eager, channels last": (True, False),
    "compiled": (False, True),
    "compiled, channels last": (True, True),
}

if __name__ == "__main__":
    take_turns(
        {
            name: functools.partial(build, channels_last=channels_last, compiled=compiled)
            for name, (channels_last, compiled) in SETTINGS.items()
        }
    )
