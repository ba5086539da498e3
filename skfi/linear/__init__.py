"""Closed forms of softmax-linear models over plain arrays: model, curvature, scores, pairs."""
