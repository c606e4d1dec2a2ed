"""Images as stimulus Datasets: the digits of scikit-learn, any folder of images, and parametric patterns."""

from cortexres.stimuli.digit_images import digits
from cortexres.stimuli.image_folder import folder
from cortexres.stimuli.parametric import patterns

__all__ = ["digits", "folder", "patterns"]
