"""Definitions of networks: every one loads, says where it is from, and every fault in a file or a change is named."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortexres.cli import main
from cortexres.definitions import (
    Network,
    NetworkInfo,
    list_models,
    list_networks,
    load_network,
    network_from_toml,
    network_with,
)
from cortexres.definitions.network_parts import PARTS
from cortexres.errors import DataFileError, DefinitionError

ROWS = list_networks()
RESNET20 = load_network("resnet20")
HEAD = 'name = "mine"\ntitle = "Mine"\nsource = "our own"\n'


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_network_loads_and_says_what_it_is_and_where_it_is_from(row: NetworkInfo) -> None:
    network = load_network(row.name)
    assert (network.name, network.family) == (row.name, row.path.stem)
    assert network.title
    assert re.search("doi:10|arXiv:", network.source)
    assert network.parameters == row.parameters > 0
    published = network.published
    assert bool(published.source and published.data) == (published != type(published)())


def test_no_two_models_have_the_same_name() -> None:
    names = [row.name for row in ROWS] + [model.name for model in list_models("circuits")]
    assert max(Counter(names).values()) == 1


def test_networks_are_listed_by_pattern_in_the_order_of_their_file() -> None:
    names = [row.name for row in list_networks("resnet*_tied")]
    assert names == [f"resnet{depth}_tied" for depth in (20, 32, 44, 56, 110, 1202)]
    assert list_networks("nothing*") == []


def test_the_command_line_lists_every_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert all(f"{row.name}: {row.parameters:,} parameters" in out for row in ROWS)
    assert all(family.source in out for family in list_models("networks"))


def test_a_network_loads_from_a_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(HEAD + "widths = [4, 8]\nstrides = [1, 2]\nblocks = 2\n[variants]\nwide = { widths = [8, 16] }\n")
    assert load_network(path).widths == (4, 8)
    assert load_network(f"{path}:wide").widths == (8, 16)
    assert load_network(f"{path}:wide").blocks == (2, 2)
    with pytest.raises(DefinitionError, match=r"has no variant 'wise', did you mean 'wide'\?"):
        load_network(f"{path}:wise")
    with pytest.raises(DataFileError, match="cannot read"):
        load_network(tmp_path / "none.toml")


def test_unknown_names_bring_near_ones() -> None:
    with pytest.raises(DefinitionError, match=r"no network is named 'resnet2O', did you mean .*'resnet20'"):
        load_network("resnet2O")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", "is not TOML"),
        ('name = "x"\ntitle = "X"\n', "key 'source' is missing"),
        ('title = "X"\nsource = "y"\n', "name is None, expected a value of type str"),
        (HEAD + "width = [4]\n", "unknown key 'width', did you mean 'widths'"),
        (HEAD + 'equation = "x + y"\n', "a file cannot give equations"),
        (HEAD + 'transform = "basik"\n', "no kind is named 'basik', did you mean 'basic'"),
        (HEAD + 'transform = { kind = "grouped", cardinalty = 8 }\n', "unknown key 'cardinalty', did you mean"),
        (HEAD + 'transform = { kind = "grouped", cardinality = "8" }\n', "transform.cardinality is '8', expected"),
        (HEAD + "transform = { cardinality = 8 }\n", "transform.kind is None"),
        (HEAD + "shortcut = 3\n", "shortcut is 3, expected a table"),
        (HEAD + "classes = 1\n", "classes is 1, expected 2 to"),
        (HEAD + "classes = true\n", "classes is True, expected a value of type int"),
        (HEAD + 'tied = "yes"\n', "tied is 'yes', expected a value of type bool"),
        (HEAD + "blocks = [3, 3]\n", "blocks has 2 values, expected one for each of 3 stages"),
        (HEAD + "widths = []\n", "widths has 0 values"),
        (HEAD + "blocks = 0\n", r"blocks\[0\] is 0, expected 1 to"),
        (HEAD + "blocks = 1_000_000_000\n", "blocks.* is 1000000000, expected 1 to 1000000"),
        (HEAD + "size = 0\n", "size is 0, expected the side of the images"),
        (HEAD + 'order = "mid"\n', "order is 'mid'"),
        (HEAD + 'shortcut = { kind = "scaled", scale = nan }\n', "shortcut.scale is nan, expected a finite number"),
        (HEAD + 'transform = { kind = "bottleneck", expansion = 0 }\n', "transform.expansion is 0, expected 1 to"),
        (HEAD + 'transform = "dense"\n', "transform 'dense' does not fit the stem 'convolution'"),
        (HEAD + 'stem = "linear"\n', "transform 'basic' does not fit the stem 'linear'"),
        (HEAD + 'transform = "excitatory_inhibitory"\n', "keeps the shape, expected strides of 1"),
        (
            HEAD + 'stem = "linear"\ntransform = "dense"\nwidths = [64]\nstrides = [1]\nblocks = [2]\nmemory = 5\n',
            "a flat network has no memory",
        ),
        (HEAD + "published = { error = 3.0 }\n", "unknown key 'error', did you mean 'error_percent'"),
        (HEAD + "variants = 3\n", "variants is 3, expected a table"),
    ],
)
def test_faults_of_a_file_are_named(text: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=message) as caught:
        network_from_toml(text)
    assert "\n" not in str(caught.value)


def test_faults_are_reported_together() -> None:
    with pytest.raises(DefinitionError, match=r"'width'.*'basik'.*classes is 'ten'"):
        network_from_toml(HEAD + 'width = 1\ntransform = "basik"\nclasses = "ten"\n')


def test_changes_are_values_of_a_network() -> None:
    network = RESNET20
    changed = network_with(network, {"blocks": 5, "classes": 100, "norm": {"kind": "group", "groups": 4}, "tied": True})
    assert (changed.blocks, changed.classes, changed.tied) == ((5, 5, 5), 100, True)
    assert changed.norm.options == {"affine": "per_step", "beyond": "raise", "groups": 4}
    assert changed.widths == network.widths
    # what was counted and published is of another network
    assert (changed.parameters, changed.published.parameters_M) == (0, None)
    assert network_with(network, {}) is network


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clases": 3}, "network 'resnet20' cannot be varied: the values given: unknown key 'clases', did you mean"),
        ({"title": "Mine"}, "unknown key 'title'"),
        ({"classes": 2.5}, "classes is 2.5, expected a value of type int"),
        ({"norm": "bach"}, "no kind is named 'bach', did you mean 'batch'"),
        ({"widths": [16, 32]}, "expected one for each of 2 stages"),
        (
            {"stem": "linear", "order": "pre", "transform": {"kind": "dense", "final_activation": True}},
            "transform.final_activation is True, expected False",
        ),
    ],
)
def test_faults_of_changes_are_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        network_with(RESNET20, changes)


@pytest.mark.parametrize("name", ["cornet_rt", "cornet_s"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tied": False}, "tied is False, expected True"),
        ({"activation": "tanh"}, "activation is given, expected none: 'cornet_.*' has its own"),
        ({"transform": "bottleneck"}, "transform is given"),
        ({"stem": {"kind": "convolution", "width": 8}}, "stem is given"),
        ({"shortcut": "scaled", "transition": "none", "memory": 3}, "shortcut is.*transition is.*memory is"),
        ({"order": "pre"}, "order is given"),
        ({"blocks": []}, "blocks has 0 values"),
        ({"blocks": [2, 2, 4, 2]}, "blocks has [24] for an area of 'cornet_.*' that has one"),
        ({"strides": 2}, r"strides is \(2, 2, 2, 2\), expected \(1, 2, 2, 2\)"),
    ],
)
def test_what_areas_would_pass_over_is_refused(name: str, changes: dict[str, object], message: str) -> None:
    with pytest.raises(DefinitionError, match=message):
        network_with(load_network(name), changes)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["batch", "basic"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["kind", "groups", "x"]), inner),
    max_leaves=4,
)


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(["blocks", "widths", "classes", "tied", *PARTS]), anything, max_size=3))
def test_whatever_is_given_makes_a_network_or_is_a_fault(changes: dict[str, object]) -> None:
    with suppress(DefinitionError):
        assert isinstance(network_with(RESNET20, changes), Network)
