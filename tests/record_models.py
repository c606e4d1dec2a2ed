"""Small models written the way that others write theirs, for the tests of recording."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn import functional

Rule = Callable[[Tensor, nn.Module, nn.Module], Tensor]


def images(count: int = 7, size: int = 8, channels: int = 3) -> xr.Dataset:
    """Return noise in colour, with ids that do not start at 0."""
    image = np.random.default_rng(count).random((count, channels, size, size))
    coords = {"stimulus": np.arange(count) + 100, "label": ("stimulus", np.arange(count) % 3)}
    return xr.Dataset({"image": (("stimulus", "channel", "y", "x"), image)}, coords)


def randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """Return the model in float64, with parameters and running statistics that are nowhere 0 or 1."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, values in (*model.named_parameters(), *model.named_buffers()):
            if values.is_floating_point():
                values.copy_(torch.randn(values.shape, generator=draw) * (0.5 / max(values[0].numel(), 1) ** 0.5))
                if name.endswith(("running_var", "weight")) and values.ndim == 1:
                    values.abs_().add_(0.5)
    return model.double()


class BasicBlock(nn.Module):
    """As in torchvision: ReLUs and the sum in place."""

    def __init__(self, inplanes: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample: nn.Module | None = None
        if stride != 1 or inplanes != planes:
            self.downsample = nn.Sequential(nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class PreActivation(nn.Module):
    """He et al. (2016); where the shape changes the shortcut starts after the first activation."""

    def __init__(self, inplanes: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inplanes)
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.shortcut = None
        if stride != 1 or inplanes != planes:
            self.shortcut = nn.Conv2d(inplanes, planes, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(out)
        out = self.conv1(out)
        out = self.conv2(functional.relu(self.bn2(out)))
        return out + shortcut


class ResNet(nn.Module):
    """Stem, two stages of `depth` blocks, and a classifier."""

    def __init__(self, block: type[nn.Module] = BasicBlock, depth: int = 2, last: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(*(block(4, 4) for _ in range(depth)))
        self.layer2 = nn.Sequential(block(4, 6, 2), *(block(6, 6) for _ in range(depth - 1)))
        self.last = nn.Sequential(nn.BatchNorm2d(6), nn.ReLU()) if last else nn.Identity()
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(self.relu(self.bn1(self.conv1(x)))))
        x = functional.adaptive_avg_pool2d(self.last(x), 1)
        return self.fc(torch.flatten(x, 1))


class Attention(nn.Module):
    """A pre-norm transformer block; `own` takes scaled_dot_product_attention in place of torch's module."""

    def __init__(self, width: int, own: bool = False) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.Linear(width, 3 * width) if own else nn.MultiheadAttention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        if isinstance(self.attention, nn.Linear):
            q, k, v = self.attention(y).chunk(3, dim=-1)
            bias = torch.zeros(x.shape[1], x.shape[1], dtype=x.dtype, device=x.device)
            y = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        else:
            y, _ = self.attention(y, y, y, need_weights=False)
        x = x + y
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """Patches, a class token, position embeddings, two blocks."""

    def __init__(self, own: bool = False, width: int = 8) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 4, 4)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, 5, width))
        self.blocks = nn.ModuleList(Attention(width, own) for _ in range(2))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])


class Stem(nn.Module):
    """A first convolution, then `body`, then the mean of each channel."""

    def __init__(self, body: nn.Module, channels: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.stem(x)).flatten(2).mean(2)


class Body(nn.Module):
    """Two convolutions, combined by `rule`, a function of the state and them."""

    def __init__(self, rule: Rule, channels: int = 4) -> None:
        super().__init__()
        self.conv = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.rule = rule

    def forward(self, x: Tensor) -> Tensor:
        return self.rule(x, *self.conv)
