"""The measure for torch modules: derivatives, curvatures, scores, pairs."""
