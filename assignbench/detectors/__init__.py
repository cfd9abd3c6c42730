"""Detectors: they turn pixels into predictions on priors and know nothing of assigners' rules."""

from assignbench.detectors.base import Detector
from assignbench.detectors.build import build_detector

__all__ = ["Detector", "build_detector"]
