"""Memory: how much this process holds, and how full the graphics processors are."""

import ctypes
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from llama_cpp import _ggml

CPU, GPU = 0, 1  # of ggml's `enum ggml_backend_dev_type`


class Filled(NamedTuple):
    """Bytes in use, by whatever process, of how many there are."""

    used: int
    whole: int


def resident_bytes() -> int:
    """Memory of this process that is in RAM now; where that is unknown, its peak."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def gpu() -> Filled | None:
    """All GPUs that this build of llama.cpp can use, by CUDA, Metal or whatever; None without."""
    found = list(devices(GPU))
    if not found:
        return None
    return Filled(sum(each.used for each in found), sum(each.whole for each in found))


def devices(kind: int) -> Iterator[Filled]:
    """The memory of each of llama.cpp's devices of a kind: its Python package wraps none of that.

    None are found where a later llama.cpp has other names for that.
    """
    library = _ggml.libggml
    if not hasattr(library, "ggml_backend_dev_memory"):
        return
    library.ggml_backend_dev_count.restype = ctypes.c_size_t
    library.ggml_backend_dev_get.restype = ctypes.c_void_p
    free, whole = ctypes.c_size_t(), ctypes.c_size_t()
    for place in range(library.ggml_backend_dev_count()):
        device = ctypes.c_void_p(library.ggml_backend_dev_get(ctypes.c_size_t(place)))
        if library.ggml_backend_dev_type(device) == kind:
            library.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(whole))
            yield Filled(whole.value - free.value, whole.value)
