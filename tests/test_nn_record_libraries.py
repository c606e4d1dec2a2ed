"""Models of transformers, timm and torchvision, built from their definitions with random weights."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from record_models import images, randomised
from torch import Tensor, nn

from cortexres import nn as crnn
from cortexres import schema

TEXT = {"vocab_size": 20, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def library(name: str) -> Any:
    """Return a library; timm and torchvision fail beside a torch that was built for the CPU alone."""
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"{name} cannot be imported: {error}")


def stages(recording: xr.Dataset | xr.DataTree) -> list[xr.Dataset]:
    """Return the stages, each of which keeps the schema and adds up to the last bit."""
    one = isinstance(recording, xr.Dataset)
    found = [recording] if one else [stage.to_dataset() for stage in recording.children.values()]
    for stage in found:
        schema.check_network(stage)
        total = stage["sum" if "sum" in stage else "response"].to_numpy()
        added = stage["carried"].to_numpy() + stage["update"].to_numpy()
        np.testing.assert_array_equal(added[:, 1:], total[:, 1:])
    return found


def tokens(batch: xr.Dataset) -> Tensor:
    """Return a text of six tokens for each image."""
    values = batch["image"].to_numpy().reshape(batch.sizes["stimulus"], -1)[:, :6]
    return torch.as_tensor((values * 20).astype(int))


def output_of(model: nn.Module, x: Tensor) -> np.ndarray:
    with torch.no_grad():
        return model.eval()(x).last_hidden_state.flatten(1).numpy()


def test_vit_of_transformers() -> None:
    transformers = library("transformers")
    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=3, num_attention_heads=2, intermediate_size=16, image_size=8, patch_size=4
    )
    model, stimuli = randomised(transformers.ViTModel(config)), images()
    (blocks,) = stages(crnn.record(model, stimuli))
    assert dict(blocks.sizes) == {"stimulus": 7, "block": 7, "unit": 5 * 8}
    assert int(blocks["token"].max()) == 4
    last = torch.as_tensor(blocks["response"][:, -1].to_numpy()).view(-1, 5, 8)
    expected = output_of(model, torch.as_tensor(stimuli["image"].to_numpy()))
    np.testing.assert_array_equal(model.layernorm(last).detach().flatten(1), expected)


def test_gpt2_of_transformers() -> None:
    transformers = library("transformers")
    config = transformers.GPT2Config(n_positions=12, n_embd=8, n_layer=3, n_head=2, **TEXT)
    model, stimuli = randomised(transformers.GPT2Model(config)), images()
    (blocks,) = stages(crnn.record(model, stimuli, inputs=tokens))
    assert dict(blocks.sizes) == {"stimulus": 7, "block": 7, "unit": 6 * 8}
    with torch.no_grad():
        hidden = model.eval()(tokens(stimuli), output_hidden_states=True).hidden_states
    for k in range(3):  # the last of transformers' own is after the norm
        np.testing.assert_array_equal(blocks["response"][:, 2 * k], hidden[k].flatten(1))


def test_bert_of_transformers_whose_state_is_normalised() -> None:
    transformers = library("transformers")
    size = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.BertConfig(max_position_embeddings=12, **size, **TEXT)
    model, stimuli = randomised(transformers.BertModel(config)), images()
    (blocks,) = stages(crnn.record(model, stimuli, inputs=tokens))
    assert blocks.sizes["block"] == 5
    np.testing.assert_array_equal(blocks["carried"][:, 2], blocks["response"][:, 1])
    np.testing.assert_array_equal(blocks["response"][:, -1], output_of(model, tokens(stimuli)))


@pytest.mark.parametrize(
    ("name", "blocks"), [("resnet18", [2, 2, 2, 2]), ("resnet50", [3, 4, 6, 3]), ("vit_b_16", [24])]
)
def test_torchvision(name: str, blocks: list[int]) -> None:
    torchvision = library("torchvision")
    options = {"image_size": 32} if name == "vit_b_16" else {}
    model = torchvision.models.get_model(name, weights=None, **options)
    found = stages(crnn.record(model, images(2, size=32)))
    assert [stage.sizes["block"] - 1 for stage in found] == blocks


@pytest.mark.parametrize(
    ("name", "blocks"), [("resnet18", [2, 2, 2, 2]), ("vit_tiny_patch16_224", [24]), ("convnext_atto", [2, 2, 6, 2])]
)
def test_timm(name: str, blocks: list[int]) -> None:
    timm = library("timm")
    found = stages(crnn.record(timm.create_model(name, pretrained=False).eval(), images(2, size=224)))
    assert [stage.sizes["block"] - 1 for stage in found] == blocks
