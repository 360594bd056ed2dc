"""Frames on a Unix socket between our processes: one kind byte, a 32-bit little-endian length, the payload.

The receiver checks the length before it allocates memory, and never unpickles data.
"""

from __future__ import annotations

import array
import socket
import struct
from typing import TYPE_CHECKING, Any

import orjson

from data.errors import WireError

if TYPE_CHECKING:
    import asyncio

HEADER = struct.Struct("<cI")
MAX_FRAME = 16 * 1024 * 1024
CHUNK = 1024 * 1024
# Up to this size, copying header and payload together costs less than a second send, which wakes the peer once more.
SMALL_FRAME = 64 * 1024


def pack(kind: bytes, payload: bytes | bytearray | memoryview = b"") -> bytes:
    """One frame as bytes."""
    if len(payload) > MAX_FRAME:
        raise WireError(f"a frame of {len(payload)} bytes is over the limit of {MAX_FRAME}")
    return HEADER.pack(kind, len(payload)) + payload


def pack_json(kind: bytes, value: Any) -> bytes:
    """One frame whose payload is JSON."""
    return pack(kind, orjson.dumps(value))


def send(sock: socket.socket, kind: bytes, payload: bytes | bytearray | memoryview = b"") -> None:
    """Send one frame; blocks until the kernel has taken all of it."""
    if len(payload) > MAX_FRAME:
        raise WireError(f"a frame of {len(payload)} bytes is over the limit of {MAX_FRAME}")
    if len(payload) <= SMALL_FRAME:
        sock.sendall(HEADER.pack(kind, len(payload)) + payload)
        return
    sock.sendall(HEADER.pack(kind, len(payload)))
    sock.sendall(payload)


def send_json(sock: socket.socket, kind: bytes, value: Any) -> None:
    """Send one JSON frame."""
    sock.sendall(pack_json(kind, value))


def receive_exactly(sock: socket.socket, size: int) -> bytearray:
    """The next `size` bytes; raises EOFError if the peer closed the connection before."""
    buffer = bytearray(size)
    view = memoryview(buffer)
    done = 0
    while done < size:
        got = sock.recv_into(view[done:])
        if not got:
            raise EOFError
        done += got
    return buffer


def receive(sock: socket.socket, limit: int = MAX_FRAME) -> tuple[bytes, bytearray]:
    """The next frame: its kind and payload.

    Raises:
        EOFError: the peer closed the connection before a complete frame arrived.
        WireError: the announced length is over `limit`.
    """
    kind, size = HEADER.unpack(receive_exactly(sock, HEADER.size))
    if size > limit:
        raise WireError(f"a peer announced a frame of {size} bytes, over the limit of {limit}")
    return kind, receive_exactly(sock, size)


def send_with_socket(sock: socket.socket, frame: bytes, other: socket.socket) -> None:
    """Send a frame together with a socket, of which the peer gets a copy."""
    sock.sendmsg([frame], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [other.fileno()]))])


def receive_with_socket(sock: socket.socket, limit: int = MAX_FRAME) -> tuple[bytes, bytearray, socket.socket | None]:
    """The next frame and the socket that was sent with it, if any; raises as `receive` does."""
    first, ancillary, _, _ = sock.recvmsg(HEADER.size, socket.CMSG_SPACE(4))
    descriptors = array.array("i")
    for _, _, data in ancillary:
        descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    other = socket.socket(fileno=descriptors[0]) if descriptors else None
    try:
        if not first:
            raise EOFError
        kind, size = HEADER.unpack(first + receive_exactly(sock, HEADER.size - len(first)))
        if size > limit:
            raise WireError(f"a peer announced a frame of {size} bytes, over the limit of {limit}")
        return kind, receive_exactly(sock, size), other
    except BaseException:
        if other is not None:
            other.close()
        raise


def load(payload: bytes | bytearray) -> Any:
    """The JSON value of a payload; raises WireError if it is not JSON."""
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise WireError("a peer sent a frame that is not JSON") from error


async def receive_async(reader: asyncio.StreamReader, limit: int = MAX_FRAME) -> tuple[bytes, bytes]:
    """The next frame of an asyncio stream; raises as `receive` does."""
    # Importing asyncio takes 20 ms, which processes without an event loop do not spend.
    import asyncio

    try:
        kind, size = HEADER.unpack(await reader.readexactly(HEADER.size))
        if size > limit:
            raise WireError(f"a peer announced a frame of {size} bytes, over the limit of {limit}")
        return kind, await reader.readexactly(size)
    except asyncio.IncompleteReadError as error:
        raise EOFError from error
