"""What every worker needs, made ready once in the process that workers are forked from: they share its memory."""

import ctypes
from contextlib import suppress

import keytrail.search.workers
from keytrail.cloudtrail import useragent

# glibc keeps freed blocks of up to 32 MB for itself; a worker that read one large object would stay that large. Blocks
# from this size on go back to the system, smaller ones, which most objects need, are reused without page faults.
_M_MMAP_THRESHOLD = -3
_RETURNED_BYTES = 8 * 1024**2

with suppress(OSError, AttributeError):  # Other C libraries do not need it, or do not have it.
    ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _RETURNED_BYTES)

# The patterns of user agents: 20 MB and a fifth of a second, as soon as there is one alert.
useragent.prepare()

__all__ = ["keytrail"]
