"""Metrics of a model with confidence intervals, and the curves that a report draws.

`__all__` names the public modules: `metrics` scores a model, `curves` computes what the plots show, `calibration` maps
scores to probabilities, and `shapley` measures the worth of a party. They are imported where they are needed, since
scikit-learn takes a second to load.
"""

__all__ = ["calibration", "curves", "metrics", "shapley"]
