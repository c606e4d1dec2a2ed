"""What the rejection of each null shows, and which questions are open while a kind of null was not tried."""

from __future__ import annotations

from cortexres.compare.nulls.blocks import ShuffledBlocks
from cortexres.compare.nulls.constant import ConstantTrace
from cortexres.compare.nulls.leak import LeakOnly
from cortexres.compare.nulls.phases import PhaseRandomised
from cortexres.compare.nulls.shifts import CircularShift
from cortexres.compare.nulls.stimuli import permute_stimuli

CLAIMS = {
    null.name: null.claim
    for null in (permute_stimuli, CircularShift(), PhaseRandomised(), ShuffledBlocks(), LeakOnly(), ConstantTrace())
} | {
    "permute_classes": "activity tells the classes apart in stimuli that were left out",
    "permute_trials": "activity tells the classes apart in trials that were left out",
    "circular wrong times": "the profiles of lesions and perturbations go together, if both are more than a trend",
    "exchange wrong times": "the profiles of lesions and perturbations go together, if neighbours are not alike",
}

# Of what is learned on one side and found on the other, by the name of the score.
SHARED = "what tells the classes apart in the network does so in the brain, through one map for all times and blocks"

# Parts of the names of nulls, the question that stays open while none of them was tried, and what to try.
QUESTIONS = (
    (("permute_stimuli",), "brain and network share something of how they tell these stimuli apart", "permute_stimuli"),
    (
        ("circular_shift", "phase_randomised", "one time course"),
        "time in the brain and depth in the network go together",
        "CircularShift with a score along a map, or latency_depth",
    ),
    (
        ("leak_only", "constant_trace"),
        "the way between first and last state matters, beyond a leak or no dynamics",
        "LeakOnly and ConstantTrace",
    ),
    (
        ("weights", "untied", "recurrence", "model"),
        "the network's weights and recurrence matter, and not just any response to the same stimuli",
        "ModelNull with shuffled, untied or random weights and without recurrence",
    ),
)


def claim_of(null: str) -> str:
    """Return what the rejection of a null shows, by its name; no more than the name says where it is not known."""
    return CLAIMS.get(null, f"the score is more than {null} gives")


def latency_claim(rho: float) -> str:
    """Return what a rejection of one time course for all blocks shows: an order on the whole, in one direction."""
    return f"later blocks have {'later' if rho > 0 else 'earlier'} latencies on the whole; not that each has its place"


def open_questions(nulls: set[str]) -> list[str]:
    """Return what cannot have been shown, as no null of its kind was tried.

    Joined nulls answer none of them: they show that at least one of two things matters, and not which.
    """
    single = {null for null in nulls if "_and_" not in null}
    return [
        f"that {question}: no null of this kind was tried; use {suggestion}"
        for parts, question, suggestion in QUESTIONS
        if not any(part in null for null in single for part in parts)
    ]
