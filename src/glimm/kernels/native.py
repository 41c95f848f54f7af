"""The one place that loads compiled code: the module for this processor."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def native() -> Any:
    """The compiled module: the AVX2 build where the processor has it, else the portable one."""
    from . import _native  # type: ignore[attr-defined]

    if _native.supports_avx2():
        try:
            from . import _native_avx2  # type: ignore[attr-defined]
        except ImportError:  # built for another processor family
            return _native
        return _native_avx2
    return _native
