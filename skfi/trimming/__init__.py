"""Classifiers that are trained without some of their rows."""
