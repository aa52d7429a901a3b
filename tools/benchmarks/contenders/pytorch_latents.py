"""PyTorch: the priors and the flow of the posterior, all in float32."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import nn

Encode = Callable[[torch.Tensor], Sequence[torch.Tensor]]

# As in the package: the last kernels of a flow start at this fraction of their usual size.
HEAD_SCALE = 0.1


def log_normal(z: torch.Tensor) -> torch.Tensor:
    """Computes log N(z; 0, I) [B] of z [B, D]."""
    return -0.5 * (z.square() + math.log(2.0 * math.pi)).sum(-1)


def log_mixture(z: torch.Tensor, mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """Computes log 1/K sum_k N(z; mean_k, diag(exp(log_variance_k))) [B] of z [B, D].

    As in the package, one product [B, 2 D] x [2 D, K] of distances from the mean of all means.
    """
    center = mean.mean(0).detach()
    z, mean = z - center, mean - center
    precision = torch.exp(-log_variance)
    constant = mean.square() * precision + math.log(2.0 * math.pi) + log_variance
    with torch.autocast("cpu", enabled=False):
        quadratic = F.linear(
            torch.cat([z.square(), z], -1),
            torch.cat([precision, -2.0 * mean * precision], -1),
            constant.sum(-1),
        )
    return torch.logsumexp(-0.5 * quadratic, -1) - math.log(len(mean))


class StandardPrior(nn.Module):
    """The prior N(0, I)."""

    def forward(self, z: torch.Tensor, encode: Encode) -> torch.Tensor:
        return log_normal(z)


class VampPrior(nn.Module):
    """The mixture of the posteriors of learned pseudo-inputs."""

    def __init__(self, count: int, image_shape: Sequence[int]) -> None:
        super().__init__()
        height, width, channels = image_shape
        self.raw_pixels = nn.Parameter(torch.randn(count, channels, height, width) - 2.0)

    def forward(self, z: torch.Tensor, encode: Encode) -> torch.Tensor:
        mean, log_variance, _ = encode(torch.sigmoid(self.raw_pixels))
        return log_mixture(z, mean, log_variance)


class FlowPrior(nn.Module):
    """N(0, I) transformed by affine couplings, the dimensions reversed between them."""

    def __init__(self, networks: Sequence[nn.Sequential]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        for network in networks:
            network[-1].inner.weight.data.mul_(HEAD_SCALE)

    def forward(self, z: torch.Tensor, encode: Encode) -> torch.Tensor:
        log_det = 0.0
        for index, network in enumerate(reversed(self.networks)):
            if index:
                z = z.flip(-1)
            first, second = z.tensor_split((z.shape[-1] // 2,), -1)
            shift, raw = network(first).chunk(2, -1)
            log_scale = 2.0 * torch.tanh(raw / 2.0)
            z = torch.cat([first, (second - shift) * torch.exp(-log_scale)], -1)
            log_det = log_det - log_scale.sum(-1)
        return log_normal(z) + log_det


class MaskedLinear(nn.Module):
    """A dense layer without the connections at which the mask [inputs, outputs] is 0."""

    def __init__(self, linear: nn.Linear, mask: torch.Tensor) -> None:
        super().__init__()
        self.linear = linear
        self.register_buffer("mask", mask.T.float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.linear.weight * self.mask, self.linear.bias)


class Made(nn.Module):
    """The shift and gate of one autoregressive step, from masked dense layers and a context.

    The degrees of the hidden units are 0 ... D - 1 in turn, as in the package.
    """

    def __init__(self, layers: Sequence[nn.Module], activation: Callable) -> None:
        super().__init__()
        self.context, *hidden, shift, gate = (layer.inner for layer in layers)
        self.activation = activation
        degrees = outputs = torch.arange(1, shift.out_features + 1)
        self.hidden = nn.ModuleList()
        for linear in hidden:
            own = torch.arange(linear.out_features) % len(outputs)
            self.hidden.append(MaskedLinear(linear, degrees[:, None] <= own))
            degrees = own
        self.shift, self.gate = (
            MaskedLinear(head, degrees[:, None] < outputs) for head in (shift, gate)
        )
        for head in (shift, gate):
            head.weight.data.mul_(HEAD_SCALE)

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        first, *rest = self.hidden
        x = self.activation(first(x) + self.context(context))
        for layer in rest:
            x = self.activation(layer(x))
        return self.shift(x), self.gate(x)


class AutoregressiveFlow(nn.Module):
    """The steps of an inverse autoregressive flow; the identity if there are none.

    Returns y [B, D] and log |det dy/dx| [B].
    """

    def __init__(
        self, steps: Sequence[Sequence[nn.Module]], activations: Sequence[Callable]
    ) -> None:
        super().__init__()
        self.steps = nn.ModuleList(map(Made, steps, activations))

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        log_det = x.new_zeros(len(x))
        with torch.autocast("cpu", enabled=False):
            for index, network in enumerate(self.steps):
                if index:
                    x = x.flip(-1)
                shift, raw = network(x, context)
                gate = torch.sigmoid(raw + 2.0)
                log_det = log_det + F.logsigmoid(raw + 2.0).sum(-1)
                x = gate * x + (1.0 - gate) * shift
        return x, log_det
