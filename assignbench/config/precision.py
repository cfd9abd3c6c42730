"""What `amp: auto` comes to on a machine: bf16 where its processor computes in it, otherwise float32.

A processor without bf16 instructions emulates them, at half the speed of float32.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

Precision = Literal["bf16", "none"]

PROCESSOR = Path("/proc/cpuinfo")
# Flags of x86 and features of ARM that stand for bf16 products.
INSTRUCTIONS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
# The library that multiplies can be told to leave instructions out; these are the levels that still hold bf16.
LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
LEVELS_WITH = ("ALL", "DEFAULT", "AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX512_CORE_AMX", "AVX10")
SILICON = ("/usr/sbin/sysctl", "-n", "hw.optional.arm.FEAT_BF16")


def precision_here(environment: Mapping[str, str] = os.environ, processor: Path = PROCESSOR) -> Precision:
    """The precision that suits this machine's processor; of one that cannot be asked, float32."""
    limit = next((environment[name].upper() for name in LIMITS if environment.get(name)), "ALL")
    if not limit.startswith(LEVELS_WITH):
        return "none"
    return "bf16" if _computes_in_bf16(processor) else "none"


def _computes_in_bf16(processor: Path) -> bool:
    """Whether every core has the instructions: a cell may run on any of them."""
    if platform.system() == "Darwin":
        asked = subprocess.run(SILICON, capture_output=True, text=True, check=False)  # noqa: S603 (a fixed command)
        return asked.stdout.strip() == "1"
    try:
        lines = processor.read_text().splitlines()
    except OSError:
        return False
    cores = [set(rest.split()) for key, _, rest in (line.partition(":") for line in lines) if key.strip() in _FLAGS]
    return bool(cores) and all(INSTRUCTIONS & flags for flags in cores)


_FLAGS = ("flags", "Features")
