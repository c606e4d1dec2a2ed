"""Mean-field theory of a circuit, from its definition alone: rates, gains, response times and stability."""

from cortexres.meanfield.fixed_point import FixedPoint, baseline_inputs, fixed_point
from cortexres.meanfield.from_circuit import mean_field
from cortexres.meanfield.irregularity import siegert_cv
from cortexres.meanfield.linear_response import (
    LinearResponse,
    ResponseTimeTable,
    linear_response,
    response_time,
    response_time_table,
)
from cortexres.meanfield.moments import BackgroundInput, MeanField, Moments, NeuronParameters, Pathway
from cortexres.meanfield.rate_circuit import RateFixedPoint, rate_fixed_point, rate_jacobian
from cortexres.meanfield.residual_step import iterate, largest_stable_step, total_connectivity
from cortexres.meanfield.siegert import (
    coloured_noise_shift,
    discrete_time_threshold,
    siegert_gain_mean,
    siegert_gain_sigma,
    siegert_rate,
)
from cortexres.meanfield.silencing import silencing
from cortexres.meanfield.stability import Stability, effective_connectivity, response_times, stability

__all__ = [
    "BackgroundInput",
    "FixedPoint",
    "LinearResponse",
    "MeanField",
    "Moments",
    "NeuronParameters",
    "Pathway",
    "RateFixedPoint",
    "ResponseTimeTable",
    "Stability",
    "baseline_inputs",
    "coloured_noise_shift",
    "discrete_time_threshold",
    "effective_connectivity",
    "fixed_point",
    "iterate",
    "largest_stable_step",
    "linear_response",
    "mean_field",
    "rate_fixed_point",
    "rate_jacobian",
    "response_time",
    "response_time_table",
    "response_times",
    "siegert_cv",
    "siegert_gain_mean",
    "siegert_gain_sigma",
    "siegert_rate",
    "silencing",
    "stability",
    "total_connectivity",
]
