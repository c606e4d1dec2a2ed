"""Whole networks, and their making from definitions: stems, stages, readouts.

`create` knows all architectures, those of `cortexres.nn.areas` too; import it from `cortexres.nn`.
"""
