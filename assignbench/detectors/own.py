"""A detector of the user's own: what its function returns is looked at before it is used."""

from __future__ import annotations

from assignbench.config.detector import own_detector
from assignbench.config.network import DetectorSpec
from assignbench.config.words import shown
from assignbench.detectors.backbones import Backbone
from assignbench.detectors.base import Parts
from assignbench.detectors.heads import Head
from assignbench.detectors.necks import Neck
from assignbench.errors import InputError


def build(spec: DetectorSpec, backbone: Backbone, num_classes: int, *, quality: bool) -> Parts:
    """Neck and head by the user's function. Raises InputError for what it cannot be."""
    whole = f"detector '{spec.function}'"
    function = own_detector(spec.function).function
    try:
        parts: object = function(spec, backbone, num_classes, quality=quality)
    except InputError:
        raise
    except (Exception, SystemExit) as problem:
        raise InputError(f"{whole} raised {type(problem).__name__}: {problem}") from problem
    if not isinstance(parts, Parts):
        raise InputError(f"{whole} gave {shown(parts)}; return assignbench.detectors.base.Parts(neck, head)")
    for name, part, base in (("neck", parts.neck, Neck), ("head", parts.head, Head)):
        if not isinstance(part, base):
            wanted = f"{base.__module__}.{base.__name__}"
            raise InputError(f"{whole}: its {name} is a {type(part).__name__}; derive from {wanted}")
    strides = getattr(parts.neck, "strides", None)
    if not isinstance(strides, tuple) or not strides or not all(isinstance(s, int) and s > 0 for s in strides):
        raise InputError(f"{whole}: neck.strides is {shown(strides)}; set a tuple of strides in px, e.g. (8, 16, 32)")
    if quality and not parts.head.quality_layers:
        raise InputError(
            f"{whole}: the method has a quality head, and this head has no layer `quality`; make one, or set quality: "
            "null in the method"
        )
    return parts
