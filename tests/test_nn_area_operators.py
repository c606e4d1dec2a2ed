"""Operators between areas against torch's functions and what they must repeat."""

from __future__ import annotations

import pytest
import torch
from multistate_networks import (
    DOUBLE,
    drawn,
)
from torch.nn import functional

from cortexres.nn.areas import Area, Downsampling, Upsampling, operator_between
from cortexres.nn.norms import Norm


@pytest.mark.parametrize("by", ["stride", "max", "average"])
@pytest.mark.parametrize("size", [8, 7])
def test_a_coarser_map_and_back(by: str, size: int) -> None:
    fine, coarse = Area("fine", 3, size), Area("coarse", 5, 4)
    x = drawn(2, *fine.shape)
    down = operator_between(fine, coarse, down=by, activation=torch.relu, norm=Norm("layer"), rng=0, dtype=DOUBLE)  # type: ignore[arg-type]
    convolved = functional.conv2d(x, down.layer.convolution.weight, padding=1)
    plain = torch.relu(functional.layer_norm(convolved, (5, size, size)))
    windows = [[plain[..., 2 * i : 2 * i + 2, 2 * j : 2 * j + 2] for j in range(4)] for i in range(4)]
    pick = {"max": lambda w: w.amax((2, 3)), "average": lambda w: w.mean((2, 3))}
    if by == "stride":
        expected = torch.relu(functional.layer_norm(convolved[..., ::2, ::2], (5, 4, 4)))
    else:
        expected = torch.stack([torch.stack([pick[by](w) for w in row], dim=-1) for row in windows], dim=-2)
    torch.testing.assert_close(down(x), expected, rtol=1e-12, atol=1e-12)


def test_nearest_and_transposed_upsampling_repeat_what_is_there() -> None:
    x = drawn(2, 3, 4, 4)
    eye = torch.eye(3, dtype=DOUBLE)
    repeated = x.repeat_interleave(3, dim=2).repeat_interleave(3, dim=3)[..., :10, :11]
    nearest = Upsampling(3, 3, factor=3, size=(10, 11), kernel_size=1, rng=0, dtype=DOUBLE)
    transposed = Upsampling(3, 3, factor=3, size=(10, 11), by="transposed", rng=0, dtype=DOUBLE)
    with torch.no_grad():
        nearest.layer.convolution.weight.copy_(eye[:, :, None, None])
        transposed.layer.convolution.weight.copy_(eye[:, :, None, None].expand(-1, -1, 3, 3))
    assert torch.equal(nearest(x), repeated)
    torch.testing.assert_close(transposed(x), repeated, rtol=1e-14, atol=1e-14)
    linear = Upsampling(3, 3, factor=2, kernel_size=1, by="bilinear", rng=0, dtype=DOUBLE)
    ramp = torch.arange(4.0, dtype=DOUBLE).expand(1, 3, 4, 4)
    with torch.no_grad():
        linear.layer.convolution.weight.copy_(eye[:, :, None, None])
    assert linear(ramp)[0, 0, 0].tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]


@pytest.mark.parametrize("make", [Downsampling, Upsampling])
def test_weights_come_from_rng_and_have_the_size_of_he(make: type[Downsampling] | type[Upsampling]) -> None:
    by = "transposed" if make is Upsampling else "stride"
    before = torch.get_rng_state()
    first, second, other = (make(64, 64, by=by, norm=Norm("batch"), rng=seed) for seed in (0, 0, 1))  # type: ignore[arg-type]
    assert torch.equal(torch.get_rng_state(), before)
    weight = first.layer.convolution.weight
    assert torch.equal(weight, second.layer.convolution.weight)
    assert not torch.equal(weight, other.layer.convolution.weight)
    fan_in = 64 * (1 if by == "transposed" else 9)  # what reaches one position
    assert weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.02)
    other.reset_parameters(0)
    assert torch.equal(weight, other.layer.convolution.weight)
