"""Returns memory to the system that a process needed only to start; for processes that live long or are forked."""

from __future__ import annotations

import ctypes
import gc

_DONTNEED = 4
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LOAD, _WRITABLE = 1, 2
_PAGE = 4096


class _Segment(ctypes.Structure):
    """Elf64_Phdr."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("offset", ctypes.c_uint64),
        ("address", ctypes.c_uint64),
        ("physical", ctypes.c_uint64),
        ("in_file", ctypes.c_uint64),
        ("in_memory", ctypes.c_uint64),
        ("align", ctypes.c_uint64),
    )


class _Library(ctypes.Structure):
    """The beginning of dl_phdr_info."""

    _fields_ = (
        ("base", ctypes.c_uint64),
        ("name", ctypes.c_char_p),
        ("segments", ctypes.POINTER(_Segment)),
        ("count", ctypes.c_uint16),
    )


_Visit = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Library), ctypes.c_size_t, ctypes.c_void_p)


def return_buffers() -> None:
    """From now on return every buffer over 256 KiB to the system when it is freed.

    By default the allocator learns from the first large body that such buffers are worth keeping, and keeps some of
    every size. This setting costs page faults, so it is not for processes that compute.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_MMAP_THRESHOLD, 2**18)


def keep_buffers() -> None:
    """From now on keep up to 32 MiB of freed buffers for later allocations.

    By default the allocator chooses the amount by the first buffers that are freed: a reader of 2 GB then met 0.2 to
    1.5 million page faults, up to 6 seconds of processor time. For processes that do one thing over and over, in
    blocks.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_TRIM_THRESHOLD, 2**25)
        libc.mallopt(_MMAP_THRESHOLD, 2**25)


def return_freed_memory() -> None:
    """Return to the system what has been freed, now.

    What the allocator keeps counts for the limit of the process but cannot become a mapping or the stack of a thread:
    after a sample that needed all of the limit, even a small one would lack memory.
    """
    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def release_startup_memory() -> None:
    """Return memory to the system that starting needed and running does not.

    Existing objects are hidden from the garbage collector, so that forked processes do not copy their pages. Pages with
    code and constants of libraries that were used once are dropped (LLVM while kernels were loaded, initialisers,
    symbols: 80 MB in the examiner, 10 MB in the process that forks readers). A page that is used again is read from its
    file. Garbage is not searched for: what starting leaves of it is 0.1 MB, and the search takes 0.05 s of each process.
    """
    gc.freeze()
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
    if not hasattr(libc, "dl_iterate_phdr"):
        return
    libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    clean: list[tuple[int, int]] = []

    def visit(library: ctypes._Pointer[_Library], _size: int, _data: int | None) -> int:
        found = library.contents
        for number in range(found.count):
            segment = found.segments[number]
            # Only segments that nothing can have written to: dropping a writable page would lose relocated addresses.
            if segment.type == _LOAD and not segment.flags & _WRITABLE:
                start = -(-(found.base + segment.address) // _PAGE) * _PAGE
                end = (found.base + segment.address + segment.in_file) // _PAGE * _PAGE
                clean.append((start, end - start))
        return 0

    # Pages are dropped only after the call: while it runs, the list of libraries is locked.
    libc.dl_iterate_phdr(_Visit(visit), None)
    for start, size in clean:
        if size > 0:
            libc.madvise(start, size, _DONTNEED)
