"""Cuts from compiled modules what only debuggers read: most of many.

    python trim.py /venv/lib

A program is loaded by the segments of its ELF file; sections, with the debugging information, come behind the last
segment and are not loaded. So the file ends there, and its header says that it has no sections. `strip` would do the
same, and would have to be fetched without a hash.
"""

import struct
import sys
from pathlib import Path

#: 64 bits, little-endian: what the image's platforms have. Others stay as they are.
_MAGIC = b"\x7fELF\x02\x01"
_SEGMENTS, _SECTIONS, _SEGMENT_SIZE, _SECTION_COUNT = 32, 40, 54, 60
#: Of a segment: where it begins in the file, and how many bytes of it are there.
_SEGMENT = struct.Struct("<8x Q 16x Q 16x")


def trimmed(binary: bytes) -> bytes:
    """Return a compiled module without what is not loaded of it; anything else as it is."""
    if not binary.startswith(_MAGIC):
        return binary
    (table,) = struct.unpack_from("<Q", binary, _SEGMENTS)
    size, count = struct.unpack_from("<HH", binary, _SEGMENT_SIZE)
    places = [_SEGMENT.unpack_from(binary, table + number * size) for number in range(count)]
    end = max([table + count * size, *(begin + length for begin, length in places)])
    kept = bytearray(binary[:end])
    struct.pack_into("<Q", kept, _SECTIONS, 0)
    # Their number, and which of them has their names.
    struct.pack_into("<HH", kept, _SECTION_COUNT, 0, 0)
    return bytes(kept)


def main() -> None:
    """Cut every compiled module below the folders that the command line names."""
    for folder in sys.argv[1:]:
        for file in Path(folder).rglob("*.so*"):
            if file.is_file() and not file.is_symlink():
                file.write_bytes(trimmed(file.read_bytes()))


if __name__ == "__main__":
    main()
