"""Stimuli as Datasets: the digits of scikit-learn, any folder of images, parametric patterns, and drives."""

from cortexres.stimuli.digit_images import digits
from cortexres.stimuli.drives import drives, pulses, ramps, steps
from cortexres.stimuli.image_folder import folder, train_and_test
from cortexres.stimuli.parametric import patterns

__all__ = ["digits", "drives", "folder", "patterns", "pulses", "ramps", "steps", "train_and_test"]
