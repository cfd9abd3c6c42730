"""Detectors: they turn pixels into predictions on priors and know nothing of assigners' rules."""

from assignbench.detectors.zoo import DETECTORS, Detector

__all__ = ["DETECTORS", "Detector"]
