"""What residual theory predicts of a network, measured: lesions, paths, gradients, curvature, dynamics."""
