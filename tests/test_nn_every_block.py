"""Every transform with every shortcut and every normalisation, tied and untied: what all blocks have in common.

A new transform, shortcut or normalisation is tested by being listed here, and a test says so where one is missing.
"""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor
from torch.nn.functional import softplus

from cortexres import nn
from cortexres.nn import shortcuts, transforms

CHANNELS, SIDE, BATCH, STEPS = 4, 4, 2, 2

Made = Callable[..., torch.nn.Module]

# called with norm, rng, device, dtype
TRANSFORMS: dict[str, Made] = {
    "Dense": partial(nn.Dense, CHANNELS),
    "Dense, two layers": partial(nn.Dense, CHANNELS, layers=2, final_activation=False),
    "Convolutional": partial(nn.Convolutional, CHANNELS),
    "Convolutional, pre": partial(nn.Convolutional, CHANNELS, order="pre", width=6),
    "PreactivatedDense": partial(nn.PreactivatedDense, CHANNELS),
    "LooksLinear, dense": lambda norm, **o: nn.LooksLinear(CHANNELS, **o),
    "Bottleneck": partial(nn.Bottleneck, CHANNELS, width=2),
    "Bottleneck, pre": partial(nn.Bottleneck, CHANNELS, width=2, order="pre"),
    "Grouped": partial(nn.Grouped, CHANNELS, cardinality=2, base_width=2),
    "MultiResidual": lambda **o: nn.MultiResidual([nn.Convolutional(CHANNELS, **o) for _ in range(2)]),
    "Dilated": partial(nn.Dilated, CHANNELS, width=2, dilations=(1, 2), other_dilations=(2, 1), exchange=(1,)),
    "SqueezeExcitation": lambda norm, **o: nn.SqueezeExcitation(
        nn.Convolutional(CHANNELS, norm=norm, **o), reduction=2, **o
    ),
    "Inception": partial(nn.Inception, CHANNELS, width=2),
    "ExcitatoryInhibitory": lambda norm, **o: nn.ExcitatoryInhibitory(
        3, 1, kernel_size=3, norm=_unscaled(norm), activation=softplus, **o
    ),
    "ExcitatoryInhibitory, dense": lambda norm, **o: nn.ExcitatoryInhibitory(
        3, 1, norm=_unscaled(norm), activation=softplus, **o
    ),
}
# called with state_dims, rng, device, dtype
SHORTCUTS: dict[str, Made] = {
    "Identity": lambda **_: nn.Identity(),
    "ZeroPadding": lambda **_: nn.ZeroPadding(CHANNELS, CHANNELS),
    "Projection": partial(nn.Projection, CHANNELS, CHANNELS),
    "Linear": lambda rng, **o: nn.Linear(CHANNELS, **o),
    "Highway": partial(nn.Highway, CHANNELS),
    "Scaled": lambda **_: nn.Scaled(0.2),
    "SoftAssignment": lambda **_: nn.SoftAssignment(0.3),
    "LearnedScale": lambda rng, state_dims, **o: _opened(nn.LearnedScale(CHANNELS, **o)),
    "NoShortcut": lambda **_: nn.NoShortcut(),
}
NORMS: dict[str, nn.Norm | None] = {
    "none": None,
    **{kind: nn.Norm(kind, steps=STEPS, groups=2) for kind in ("batch", "layer", "group", "rms")},
}


def _unscaled(norm: nn.Norm | None) -> nn.Norm | None:
    """Return the recipe without parameters: a scale below 0 would turn excitation into inhibition."""
    return None if norm is None else replace(norm, affine="none")


def _opened(shortcut: nn.LearnedScale) -> nn.LearnedScale:
    """Return the shortcut with a scale that lets gradients reach F; at its start, 0, none does."""
    if not shortcut.scale.is_meta:
        torch.nn.init.constant_(shortcut.scale, 0.5)
    return shortcut


class Case(NamedTuple):
    """One combination, by the names above."""

    transform: str
    shortcut: str
    norm: str
    tied: bool = True


def network(case: Case, *, rng: int = 0, dtype: torch.dtype = torch.float64, device: str = "cpu") -> nn.Recurrent:
    """Return the network of a case, in eval mode, with statistics of normalisation that are not those of the start."""
    options: dict[str, Any] = {"rng": rng, "device": device, "dtype": dtype}
    transform = TRANSFORMS[case.transform](norm=NORMS[case.norm], **options)
    shortcut = SHORTCUTS[case.shortcut](state_dims=transform.state_dims, **options)
    made = nn.Recurrent(nn.Block(transform, shortcut), steps=STEPS)
    for name, rows in made.state_dict().items():
        if ".norm" in name and rows.is_floating_point():
            rows += 0.1 * torch.arange(rows.numel(), dtype=dtype, device=device).view_as(rows) / rows.numel()
    return (made if case.tied else made.to_untied()).eval()


def drive(case: Case, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return an input for a case."""
    positions = () if "dense" in case.transform.lower() else (SIDE, SIDE)
    return torch.randn(BATCH, CHANNELS, *positions, generator=torch.Generator().manual_seed(1), dtype=dtype)


def run(module: torch.nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the states of a run and the gradients of a sum of them whose weights are uneven, so that none is lost."""
    states = module(x)[0]
    weights = torch.linspace(-1, 1, states.numel(), dtype=states.dtype, device=states.device).view_as(states)
    gradients = torch.autograd.grad((weights * states).sum(), list(module.parameters()))
    return states.detach(), dict(zip(dict(module.named_parameters()), gradients, strict=True))


def combinations(transform: str) -> Iterator[Case]:
    """Return all cases of a transform, tied."""
    return (Case(transform, shortcut, norm) for shortcut, norm in itertools.product(SHORTCUTS, NORMS))


def covering(factors: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Return rows, one level of each factor, in which each two levels of two factors meet at least once, greedily."""
    left = dict.fromkeys(pair for pair in _pairs(factors))
    rows = []
    while left:
        (one, first), (other, second) = next(iter(left))
        row = [(one, first), (other, second)]
        for place in set(range(len(factors))) - {one, other}:
            gains = [sum(_pair(entry, (place, level)) in left for entry in row) for level in factors[place]]
            row.append((place, factors[place][gains.index(max(gains))]))
        for entry, another in itertools.combinations(row, 2):
            left.pop(_pair(entry, another), None)
        rows.append(tuple(level for _, level in sorted(row)))
    return rows


def _pairs(factors: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, Any]]:
    for (one, firsts), (other, seconds) in itertools.combinations(enumerate(factors), 2):
        yield from (((one, first), (other, second)) for first, second in itertools.product(firsts, seconds))


def _pair(one: tuple[int, Any], other: tuple[int, Any]) -> tuple[Any, Any]:
    return (one, other) if one[0] < other[0] else (other, one)


FACTORS: list[list[Any]] = [list(TRANSFORMS), list(SHORTCUTS), list(NORMS), [True, False]]
PAIRWISE = [Case(*row) for row in covering(FACTORS)]
KINDS: list[list[Any]] = [[name for name in TRANSFORMS if "," not in name], *FACTORS[1:]]
EACH_ONCE = [Case(*(levels[k % len(levels)] for levels in KINDS)) for k in range(max(map(len, KINDS)))]


def test_every_public_transform_shortcut_and_norm_is_listed() -> None:
    listed = {type(made(norm=None, rng=0)).__name__ for made in TRANSFORMS.values()}
    assert listed == set(transforms.__all__) - {"Transform"}
    assert listed < set(nn.__all__)
    public = {name for name, kind in vars(shortcuts).items() if getattr(kind, "__module__", "") == shortcuts.__name__}
    assert set(SHORTCUTS) == {name for name in public if not name.startswith("_")} < set(nn.__all__)
    assert set(NORMS) == {"none", *nn.norms.KINDS}


def test_the_covering_sets_cover() -> None:
    for one, other in itertools.combinations(range(len(FACTORS)), 2):
        met = {(case[one], case[other]) for case in PAIRWISE}
        assert met == set(itertools.product(FACTORS[one], FACTORS[other]))
    assert all({case[place] for case in EACH_ONCE} == set(levels) for place, levels in enumerate(KINDS))


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_every_shortcut_and_norm_with(transform: str) -> None:
    for case in combinations(transform):
        tied, x = network(case), drive(case)
        untied = tied.to_untied()
        for training in (True, False) if case.norm == "batch" else (False,):
            check_tied_is_untied(tied.train(training), untied.train(training), x, case)
        again = nn.Recurrent.from_untied(untied).state_dict()
        assert all(torch.equal(value, again[key]) for key, value in tied.state_dict().items()), case
        for module in (tied, untied):
            check_saved_is_loaded(module, x, case)
            check_lower_precision(module, x, case)


def check_tied_is_untied(tied: nn.Recurrent, untied: nn.Recurrent, x: Tensor, case: Case) -> None:
    """Check shapes, equality, and the gradients of all parameters."""
    states, gradients = run(tied, x)
    alike, separate = run(untied, x)
    assert states.shape == (BATCH, STEPS, *x.shape[1:]), case
    assert torch.equal(states, alike), case
    for name, gradient in gradients.items():
        parts = torch.stack([separate[name.replace("block.", f"blocks.{k}.", 1)] for k in range(STEPS)])
        expected = parts.flatten(0, 1) if ".norm" in name else parts.sum(dim=0)  # norms have a row per step
        assert gradient.isfinite().all(), (case, name)
        assert tied.training or gradient.any(), (case, name)  # batch statistics take a bias away again
        assert (gradient - expected).abs().max() <= 1e-12 * parts.abs().max(), (case, name)


def check_saved_is_loaded(module: nn.Recurrent, x: Tensor, case: Case) -> None:
    """Check that safetensors hold all that the network is made of."""
    with torch.no_grad():
        expected, saved = module(x)[0], save(module.state_dict())
        for value in module.state_dict().values():
            value.zero_()
        assert not torch.equal(module(x)[0], expected), case
        module.load_state_dict(load(saved))
        assert torch.equal(module(x)[0], expected), case


def check_lower_precision(module: nn.Recurrent, x: Tensor, case: Case) -> None:
    """Check float32, bfloat16 and autocast against float64; the network has lost precision afterwards."""
    with torch.no_grad():
        expected = module(x)[0]
        single = module.float()(x.float())[0]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = module(x.float())[0]
        half = module.bfloat16()(x.bfloat16())[0]
    assert (single.dtype, half.dtype) == (torch.float32, torch.bfloat16)
    for found, tolerance in ((single, 1e-5), (mixed, 0.1), (half, 0.1)):
        assert (found.double() - expected).abs().max() <= tolerance * expected.abs().max(), (case, tolerance)


@pytest.mark.parametrize("names", [TRANSFORMS, SHORTCUTS], ids=["transforms", "shortcuts"])
def test_weights_come_from_rng_or_from_torch(names: dict[str, Made]) -> None:
    def made(name: str, **options: Any) -> dict[str, Tensor]:
        more: dict[str, Any] = {"state_dims": 3} if names is SHORTCUTS else {"norm": NORMS["batch"]}
        return names[name](**more, **options).state_dict()

    for name in names:
        before = torch.get_rng_state()
        first, same, other = (made(name, rng=seed) for seed in (4, 4, 5))
        assert torch.equal(torch.get_rng_state(), before), name
        torch.manual_seed(3)
        drawn = made(name, rng=None)
        torch.manual_seed(3)
        again = made(name, rng=None)
        for key, value in first.items():
            assert torch.equal(value, same[key]), (name, key)
            assert torch.equal(drawn[key], again[key]), (name, key)
            constant = len(value.unique()) <= 2  # zeros, ones and the identity
            assert torch.equal(value, other[key]) == torch.equal(value, drawn[key]) == constant, (name, key)
        assert all(value.is_meta for value in made(name, rng=0, device="meta").values()), name


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_resetting_draws_all_weights_anew(transform: str) -> None:
    module = TRANSFORMS[transform](norm=NORMS["batch"], rng=0)
    with torch.no_grad():
        for value in module.state_dict().values():
            value.fill_(7)
    module.reset_parameters(1)  # type: ignore[operator]
    first = copy.deepcopy(module.state_dict())
    assert not any((value == 7).any() for value in first.values())
    module.reset_parameters(1)  # type: ignore[operator]
    assert all(torch.equal(value, first[key]) for key, value in module.state_dict().items())
    if transform not in ("MultiResidual", "SqueezeExcitation"):  # these are given their parts
        made = TRANSFORMS[transform](norm=NORMS["batch"], rng=1).state_dict()
        assert all(torch.equal(value, first[key]) for key, value in made.items())


def check_exported(case: Case) -> None:
    """Check the exported program, a copy and a pickle of a network against it."""
    module, x = network(case), drive(case)
    with torch.no_grad():
        expected, h_n = module(x)
        exported = torch.export.export(module, (x,)).module()
        for other in (exported, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
            states, last = other(x)
            assert torch.equal(states, expected), case
            assert torch.equal(last, h_n), case


def check_compiled(case: Case, backend: str, tolerance: float) -> None:
    """Check a compiled network in training against itself: states, gradients, and what it keeps of batches."""
    torch.compiler.reset()
    module, x = network(case).train(), drive(case)
    other = copy.deepcopy(module)
    states, gradients = run(module, x)
    compiled, found = run(torch.compile(other, fullgraph=True, backend=backend, dynamic=False), x)
    torch.testing.assert_close(compiled, states, rtol=tolerance, atol=tolerance, msg=str(case))
    for name, gradient in gradients.items():
        size = float(gradient.abs().max())
        torch.testing.assert_close(found[f"_orig_mod.{name}"], gradient, rtol=0, atol=1e-11 * (size + 1), msg=str(case))
    for key, value in module.state_dict().items():
        torch.testing.assert_close(other.state_dict()[key], value, rtol=1e-12, atol=1e-12, msg=f"{case} {key}")


@pytest.mark.parametrize("case", EACH_ONCE, ids=lambda case: case.transform)
def test_compiles_to_one_graph_and_exports(case: Case) -> None:
    check_compiled(case, "aot_eager", 1e-13)
    check_exported(case)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(9))
def test_every_pair_compiles_to_one_graph_and_exports(part: int) -> None:
    for case in PAIRWISE[part::9]:
        check_compiled(case, "aot_eager", 1e-13)
        check_exported(case)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch's own, where it imports its compiler
@pytest.mark.parametrize("case", EACH_ONCE[::3], ids=lambda case: case.transform)
def test_inductor_computes_the_same(case: Case) -> None:
    check_compiled(case, "inductor", 1e-12)


def check_on(device: str, case: Case) -> None:
    """Check a network made on another device against that on the CPU, in both modes, and under autocast there."""
    here, there = network(case), network(case, device=device)
    x = drive(case)
    for training in (True, False):
        states, gradients = run(here.train(training), x)
        others, found = run(there.train(training), x.to(device))
        torch.testing.assert_close(others.cpu(), states, rtol=1e-9, atol=1e-9, msg=str(case))
        for name, gradient in gradients.items():
            size = float(gradient.abs().max())
            torch.testing.assert_close(found[name].cpu(), gradient, rtol=0, atol=1e-9 * (size + 1), msg=str(case))
    with torch.autocast(device, dtype=torch.bfloat16):
        mixed, gradients = run(there.float(), x.to(device).float())
    assert all(value.isfinite().all() for value in gradients.values()), case
    size = float(states.abs().max())
    torch.testing.assert_close(mixed.cpu().double(), states, rtol=0, atol=0.1 * size, msg=str(case))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_cuda_computes_the_same(transform: str) -> None:
    for case in combinations(transform):
        for tied in (True, False):
            check_on("cuda", case._replace(tied=tied))
