"""A trained network made larger without losing what it computes: blocks inserted, ties split, steps refined.

References
----------
Stanley & Miikkulainen (2002), Evolving neural networks through augmenting topologies, doi:10.1162/106365602320169811
Chen, Goodfellow & Shlens (2016), Net2Net, arXiv:1511.05641
Chang et al. (2018), Multi-level residual networks from dynamical systems view, arXiv:1710.10348
"""

from cortexres.nn.growth.insertion import insert
from cortexres.nn.growth.refinement import refine
from cortexres.nn.growth.silence import silence_
from cortexres.nn.growth.splitting import split, split_stage

__all__ = ["insert", "refine", "silence_", "split", "split_stage"]
