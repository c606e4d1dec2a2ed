"""The silencing experiment: the intact circuit, the same with a part silenced, and what recurrence adds to x.

Where the recurrence of a circuit is silenced, what is left of its response is due to the feedforward input. A model
tells more than the experiment: its inputs are recorded apart in the intact circuit, so that x and F(x) need not be
inferred from another state of the circuit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy import stats

from cortexres.circuits import perturb
from cortexres.circuits.plan import Random
from cortexres.circuits.simulate import simulate
from cortexres.definitions import Circuit
from cortexres.errors import ArgumentError
from cortexres.residual import decomposition
from cortexres.schema_rules import COMPONENTS

LEVEL = 0.95


class _Means(NamedTuple):
    """Evoked responses and inputs, each (stimulus, trial, unit): late mean less the mean without a stimulus."""

    intact: xr.Dataset
    silenced: xr.Dataset


def silencing(
    circuit: Circuit,
    stimuli: xr.Dataset,
    *,
    silence: str | Sequence[str] | None = None,
    trials: int = 20,
    duration_ms: float = 200.0,
    bin_ms: float = 5.0,
    settle_ms: float = 150.0,
    window_ms: tuple[float, float] | None = None,
    rng: Random = None,
    connectivity_rng: Random = None,
    common_random_numbers: bool = True,
    target: str = "auto",
    jobs: int | None = None,
    progress: bool = True,
) -> xr.Dataset:
    """Intact and silenced responses to the same stimuli, their difference, and the definitions of x + F(x).

    Parameters
    ----------
    circuit : Circuit
        Of spiking cells or rates.
    stimuli : Dataset
        What `cortexres.circuits.simulate` takes; a step of input for circuits that take drives.
    silence : str, sequence of str or None
        Populations (``"PV"``) and projections (``"E->E"``); ``*`` stands for any text. None cuts all recurrence, so
        that the silenced response is the one to feedforward input alone.
    trials, duration_ms, bin_ms, settle_ms, target, jobs, progress
        As in `simulate`.
    window_ms : (float, float) or None
        Late window of the evoked means, from stimulus onset; None is the second half.
    rng, connectivity_rng : int, Generator or None
        As in `simulate`; both circuits have the same synapses always.
    common_random_numbers : bool
        Whether run (stimulus, trial) has the same noise and starting potentials in both circuits. The difference of
        one trial is then less noisy as long as the two stay close, and exactly 0 where nothing was silenced; the noise
        of intact and silenced responses is correlated. Otherwise their noise is independent.

    Returns
    -------
    Dataset (`stimulus`, `trial`, `time`, `unit`)
        Per run and bin: `intact`, `silenced` and `difference` (intact less silenced) in Hz, and the input components
        of both, ``intact_feedforward`` and so on.

        Per unit: `excitatory_share`, `amplification`, `net_ratio` and `rate_gain` of `cortexres.residual`, and the
        ends of their 95 % jackknife intervals, ``..._low`` and ``..._high``. x, F_E and F_I are *evoked* inputs of the
        intact circuit: the mean over stimuli, trials and the late window, less the mean over trials in the same window
        of the circuit without a stimulus. The rate gain is the evoked response of the intact over that of the silenced
        circuit: of the feedforward input alone, where all recurrence was silenced. `excitatory_share_silenced` is what
        the experiment measures: the evoked excitation (x + F_E) left in the silenced over that in the intact circuit.
        Per stimulus and unit: ``evoked_...``, the evoked means of both circuits that these are made of.

    Raises
    ------
    ArgumentError
        If nothing has the name that is to be silenced, the window is out of range, or an argument of `simulate` is
        wrong.
    SchemaError
        If `stimuli` does not keep the schema.
    SimulationError
        If the circuit does not compile or a run fails.

    Notes
    -----
    What counts as evidence. An interval is over stimuli where there are at least three (the trials, and those without a
    stimulus, stay as they are), over trials otherwise, and for one draw of the synapses: a claim about a kind of
    circuit needs several (`connectivity_rng`). With common random numbers
    the two responses of a trial share noise, so a similarity between them, or a score of a model against `difference`,
    needs a ceiling that is paired as well: split the trials in halves, take *both* responses of a half, and compare
    difference with difference. A share is no share where x and F_E differ in sign, and every quotient is undefined
    (NaN) or unstable where the evoked x is near 0: read it with its interval, and in units that the stimuli reach.

    References
    ----------
    Lien & Scanziani (2013), Nat. Neurosci. 16:1315, doi:10.1038/nn.3488.
    """
    perturbed = _silenced(circuit, silence)
    window = window_ms or (duration_ms / 2, duration_ms)
    if not (0.0 <= window[0] <= window[1] - bin_ms and window[1] <= duration_ms):
        raise ArgumentError(
            f"window_ms is {window[0]:g} to {window[1]:g}, expected a bin of {bin_ms:g} ms or more in 0 to"
            f" {duration_ms:g}"
        )
    noise, other, synapses = (int(n) for n in np.random.default_rng(rng).integers(2**62, size=3))
    if connectivity_rng is not None:
        synapses = int(np.random.default_rng(connectivity_rng).integers(2**62))

    def run(which: Circuit, shown: xr.Dataset | None, seed: int) -> xr.Dataset:
        return simulate(
            which,
            shown,
            trials=trials,
            duration_ms=duration_ms,
            bin_ms=bin_ms,
            settle_ms=settle_ms,
            rng=seed,
            connectivity_rng=synapses,
            target=target,
            jobs=jobs,
            progress=progress,
        )

    seeds = {"intact": noise, "silenced": noise if common_random_numbers else other}
    evoked, made_by, dataset = {}, {}, xr.Dataset()
    for name, which in (("intact", circuit), ("silenced", perturbed)):
        shown, blank = run(which, stimuli, seeds[name]), run(which, None, seeds[name])
        evoked[name] = _late(shown, window) - _late(blank, window).isel(stimulus=0, drop=True)
        made_by[f"cortexres_provenance_{name}"] = shown.attrs["cortexres_provenance"]
        renamed = {"response": name, **{part: f"{name}_{part}" for part in COMPONENTS}}
        dataset = dataset.assign(shown.rename(renamed).data_vars)
    difference = (dataset["intact"] - dataset["silenced"]).assign_attrs(units="Hz", long_name="intact less silenced")
    means = _Means(**evoked)
    dataset = dataset.assign({"difference": difference, **_evoked_means(means, dataset), **_with_intervals(means)})
    named = ", ".join([silence] if isinstance(silence, str) else silence or ["all recurrence"])
    without = "all recurrence cut" if silence is None else f"{named} silenced"
    dataset["rate_gain"].attrs["definition"] = f"evoked response / evoked response with {without}"
    return dataset.assign_attrs(
        silenced=named,
        window_ms=f"{window[0]:g} to {window[1]:g}",
        baseline="the same window without a stimulus",
        common_random_numbers=str(common_random_numbers),
        **made_by,
    )


def _silenced(circuit: Circuit, names: str | Sequence[str] | None) -> Circuit:
    if names is None:
        return perturb.cut_recurrence(circuit)
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        raise ArgumentError("silence is empty, expected populations or projections, or None for all recurrence")
    projections = [name for name in names if "->" in name]
    populations = [name for name in names if "->" not in name]
    circuit = perturb.cut(circuit, *projections) if projections else circuit
    return perturb.silence(circuit, *populations) if populations else circuit


def _late(brain: xr.Dataset, window: tuple[float, float]) -> xr.Dataset:
    """The mean of every variable over the bins whose centres lie in the window."""
    time = brain["time"].values
    inside = (time >= window[0]) & (time <= window[1])
    return brain[["response", *COMPONENTS]].isel(time=inside).mean("time")


def _quotients(means: _Means) -> xr.Dataset:
    """The definitions, from the means over all stimuli and trials."""
    intact, silenced = (m.mean(("stimulus", "trial")) for m in means)
    feedforward, excitatory, inhibitory = (intact[part] for part in COMPONENTS)
    found = decomposition(feedforward, excitatory, inhibitory, intact["response"], silenced["response"])
    left, whole = (m["feedforward"] + m["recurrent_excitatory"] for m in (silenced, intact))
    measured = (left / whole.where(whole != 0.0)).assign_attrs(
        units="1",
        space="excitatory current",
        definition="(x + F_E) silenced / (x + F_E) intact",
        long_name="excitation left by silencing",
    )
    return found.assign(excitatory_share_silenced=measured)


def _with_intervals(means: _Means) -> dict[str, xr.DataArray]:
    """The definitions and the ends of their intervals, by leaving out one stimulus, or trial, at a time."""
    estimate = _quotients(means)
    sizes = means.intact.sizes
    over = "stimulus" if sizes["stimulus"] >= 3 else "trial"
    variables = {str(name): value for name, value in estimate.data_vars.items()}
    if sizes[over] < 2:
        nothing = xr.full_like(estimate, np.nan)
        low, high = nothing, nothing
    else:
        left_out = xr.concat([_quotients(_without(means, over, k)) for k in range(sizes[over])], dim="group")
        low, high = _interval(estimate, left_out)
    for end, values in (("low", low), ("high", high)):
        for name, value in values.data_vars.items():
            text = f"{end} end of the 95 % jackknife interval over {over}"
            variables[f"{name}_{end}"] = value.assign_attrs(units="1", long_name=text)
    return variables


def _without(means: _Means, dim: str, index: int) -> _Means:
    return _Means(*(m.drop_isel({dim: index}) for m in means))


def _interval(estimate: xr.Dataset, left_out: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Ends of the delete-one jackknife interval about `estimate`, with Student's t."""
    groups = left_out.sizes["group"]
    half = stats.t.ppf((1 + LEVEL) / 2, groups - 1) * np.sqrt((groups - 1) * left_out.var("group", skipna=False))
    return estimate - half, estimate + half


def _evoked_means(means: _Means, dataset: xr.Dataset) -> dict[str, xr.DataArray]:
    """The evoked means over trials, (stimulus, unit), by name."""
    found = {}
    for which, values in zip(_Means._fields, means, strict=True):
        for name, value in values.mean("trial").data_vars.items():
            full = which if name == "response" else f"{which}_{name}"
            found[f"evoked_{full}"] = value.assign_attrs(units=dataset[full].attrs["units"])
    return found
