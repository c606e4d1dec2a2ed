"""The equations of rate circuits, for all units at once: what simulations integrate and theory linearises.

Every unit has a state y (a rate, a potential above rest, or a gating variable), sends s(y) and receives::

    u = sum_j W_ij s(y_j) + constant input + drive + noise,        tau dy/dt = flow(y, u)

===================  ==========================  ==============================  =================
model                sends s                     flow                            rate in Hz
===================  ==========================  ==============================  =================
linear               y                           -y + u                          y
threshold_linear     y                           -y + [u]_+                      y
power_law_voltage    gain [y]_+^exponent         -y + u                          gain [y]_+^exponent
power_law_rate       y                           -y + gain [u]_+^exponent        y
wong_wang            y                           -y + (1 - y) gamma tau H(u)     H(u)
===================  ==========================  ==============================  =================

``H(u) = z / (1 - exp(-curvature z))`` with ``z = slope u - offset``. W holds the strengths; onto threshold-linear units
times their gain.

References
----------
Murphy & Miller (2009), doi:10.1016/j.neuron.2009.02.005. Rubin, Van Hooser & Miller (2015),
doi:10.1016/j.neuron.2014.12.026. Wong & Wang (2006), doi:10.1523/JNEUROSCI.3733-05.2006. Joglekar et al. (2018),
doi:10.1016/j.neuron.2018.02.031. Hennequin et al. (2018), doi:10.1016/j.neuron.2018.04.017.
"""

from cortexres.rate_equations.equations import Components, RateEquations
from cortexres.rate_equations.from_circuit import rate_equations

__all__ = ["Components", "RateEquations", "rate_equations"]
