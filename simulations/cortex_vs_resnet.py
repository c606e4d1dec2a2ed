"""Is the residual network that a circuit implies the circuit? The demo as a script, to copy and change.

Run it with ``python simulations/cortex_vs_resnet.py``, or with ``--quick`` for two minutes instead of ten.
"""

import sys
from pathlib import Path

import numpy as np

from cortexres import bridge, circuits, compare, io, nn, plots, stimuli

QUICK = "--quick" in sys.argv[1:]
N_STIMULI = 16 if QUICK else 40
TRIALS = 8 if QUICK else 20
DURATION_MS = 200.0
DT_MS = 5.0  # time of one block, and width of a time bin
SHUFFLES = 10
EPOCHS = 200  # of the trained networks; the same as the demo, so that both give the same figures
RESULTS = Path("results") / "cortex_vs_resnet"


def main() -> None:
    """Simulate, derive, train, compare; files go to RESULTS as they are made."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    images = stimuli.digits(N_STIMULI, rng=0)
    circuit = circuits.load("ei_assemblies")

    # The two sides, from the same images.
    net = bridge.residual_network(circuit, dt_ms=DT_MS, duration_ms=DURATION_MS)
    blocks = nn.record(net, images)
    io.save(blocks, RESULTS / "network.nc")
    brain = circuits.simulate(circuit, images, trials=TRIALS, duration_ms=DURATION_MS, bin_ms=DT_MS, rng=1)
    io.save(brain, RESULTS / "brain.nc")

    # Time x block: is block k most like the circuit at k dt?
    scores = compare.compare(
        brain, blocks, metrics=[compare.linear_cka, compare.rsa], nulls=[compare.permute_stimuli], rng=2
    )
    io.save(scores, RESULTS / "scores.nc")
    io.write_bytes(RESULTS / "score_map.png", plots.png(plots.score_map(scores)))
    io.write_bytes(RESULTS / "rates.png", plots.png(plots.rates_against_blocks(brain, blocks)))

    # State by state, beside networks that lack one thing each.
    rng = np.random.default_rng(3)
    networks = {"derived": blocks, "W = 0": nn.record(bridge.without_recurrence(net), images)}
    for k in range(SHUFFLES):
        networks[f"weights shuffled, {k}"] = nn.record(bridge.shuffle_weights(net, rng=rng), images)
    states = compare.model_nulls(brain, networks)
    for k, name in enumerate(states["name"].values):
        scored = states.isel(model=k)
        print(f"{name:22} state R2 {float(scored['r2']):6.3f}   shape R2 {float(scored['shape_r2']):6.3f}")
    print(f"{'ceiling':22} state R2 {float(scored['r2_ceiling']):6.3f}")
    print(f"{'final rates, constant':22} state R2 {float(scored['constant_r2']):6.3f}")

    # Networks that were trained instead: their units are not the circuit's, so a linear map scores them.
    for tied in (True, False):
        trained = nn.ResidualNetwork(
            net.front_end.channels,
            len(net.unit_coords["name"]),
            10,
            steps=net.steps,
            tied=tied,
            front_end=circuit.drive.front_end,
            rng=3,
        )
        nn.train(trained, images, epochs=EPOCHS, rng=3)
        networks[trained.name] = nn.record(trained, images)
    for name in ("derived", "tied ResNet", "untied ResNet"):
        mapped = compare.linear_map_r2(brain, networks[name], rng=2)
        print(f"{name:22} linear map R2 {float(mapped['linear_map_r2']):6.3f}")


if __name__ == "__main__":
    main()
