"""The parts of a training recipe: schedules, and images cut and mirrored."""

from __future__ import annotations

import functools

import pytest
import torch

from cortexres.errors import ArgumentError
from cortexres.nn.training import recipes


def test_schedules() -> None:
    assert [recipes.constant(done) for done in (0.0, 0.5, 1.0)] == [1.0, 1.0, 1.0]
    assert [recipes.cosine(done) for done in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.5, 0.0])
    iterations = [0, 31_999, 32_000, 47_999, 48_000, 63_999]  # He et al. 2015, section 4.2
    factors = [recipes.step_decay(k / 64_000) for k in iterations]
    assert factors == pytest.approx([1.0, 1.0, 0.1, 0.1, 0.01, 0.01])
    assert recipes.step_decay(0.5, at=(0.4,), factor=0.2) == 0.2


def test_names_of_what_is_called() -> None:
    assert recipes.callable_name(recipes.cosine) == "cosine"
    assert recipes.callable_name(functools.partial(recipes.step_decay, at=(0.3,))) == "step_decay(at=(0.3,))"
    assert recipes.callable_name(torch.nn.Flatten()) == "Flatten"
    optimizer = recipes.sgd([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    assert recipes.settings_of(optimizer).startswith("SGD(momentum=0.9, ")


def test_every_image_is_a_window_of_itself_or_of_its_mirror_image() -> None:
    images = torch.rand(40, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    cut = recipes.crop_and_flip(images, torch.Generator().manual_seed(1), pad=2)
    assert cut.shape == images.shape
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    found = []
    for k in range(40):
        for top in range(5):
            for left in range(5):
                window = padded[k, :, top : top + 6, left : left + 5]
                found += [(top, left, m) for m in (0, 1) if torch.equal(cut[k], window.flip(2) if m else window)]
    assert len(found) == 40  # one window each, and no other
    for drawn, values in zip(zip(*found, strict=True), (range(5), range(5), range(2)), strict=True):
        assert set(drawn) == set(values)


def test_no_border_leaves_images_or_mirrors_them() -> None:
    images = torch.rand(64, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    cut = recipes.crop_and_flip(images, torch.Generator().manual_seed(1), pad=0)
    mirrored = (cut == images.flip(3)).flatten(1).all(1)
    assert (mirrored | (cut == images).flatten(1).all(1)).all()
    assert 16 < int(mirrored.sum()) < 48


def test_only_images_can_be_cut() -> None:
    with pytest.raises(ArgumentError, match=r"got inputs of shape \(5, 6\), expected images \(stimulus, channel, y, x"):
        recipes.crop_and_flip(torch.zeros(5, 6), torch.Generator())
