"""bmap.py IMAGE LAYOUT SQUASHFS: the block map of the image, in bmaptool's format 2.0, to standard output.

What is mapped follows from what is in the image, not from where its file has holes: that would depend on the file system that it
was built on, and zeros that count (of a FAT, of ext4's tables) would be left to what was on the disk before. Mapped are the boot
code and the partition table, the ESP, the system in slot A, the first MiB of slot B (so that no old system is found there), the
data partition, and the second partition table.
"""

import hashlib
import os
import re
import sys

BLOCK = 4096
MIB = 1 << 20


def layout(path: str) -> dict[str, int]:
    """The numbers of the layout file: NAME=number, or NAME=$((...)) of names before it."""
    values: dict[str, int] = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            found = re.fullmatch(r"([A-Z_]+)=(?:\$\(\()?([A-Z_0-9 +]+?)(?:\)\))?\n", line)
            if found and not found[2].isalnum() or found and found[2].isdigit():
                values[found[1]] = sum(int(t) if t.isdigit() else values[t] for t in found[2].replace("+", " ").split())
    return values


def ranges(size: int, at: dict[str, int], squashfs: int) -> list[tuple[int, int]]:
    """First and last block of each range, in order, without overlap."""
    wanted = [
        (0, (at["ESP_AT"] + at["ESP_MIB"]) * MIB),
        (at["SLOT_A_AT"] * MIB, at["SLOT_A_AT"] * MIB + squashfs),
        (at["SLOT_B_AT"] * MIB, (at["SLOT_B_AT"] + 1) * MIB),
        (at["DATA_AT"] * MIB, size),
    ]
    blocks: list[tuple[int, int]] = []
    for begin, end in wanted:
        first, last = begin // BLOCK, (end - 1) // BLOCK
        if blocks and first <= blocks[-1][1] + 1:
            blocks[-1] = (blocks[-1][0], max(last, blocks[-1][1]))
        else:
            blocks.append((first, last))
    return blocks


def main(image: str, layout_path: str, squashfs: str) -> None:
    size = os.path.getsize(image)
    mapped = ranges(size, layout(layout_path), os.path.getsize(squashfs))
    rows = []
    with open(image, "rb") as file:
        for first, last in mapped:
            digest = hashlib.sha256()
            file.seek(first * BLOCK)
            left = min((last + 1) * BLOCK, size) - first * BLOCK
            while left:
                piece = file.read(min(left, MIB))
                digest.update(piece)
                left -= len(piece)
            rows.append(f'        <Range chksum="{digest.hexdigest()}"> {first}-{last} </Range>\n')
    count = sum(last - first + 1 for first, last in mapped)
    text = (
        '<?xml version="1.0" ?>\n<bmap version="2.0">\n'
        f"    <ImageSize> {size} </ImageSize>\n    <BlockSize> {BLOCK} </BlockSize>\n"
        f"    <BlocksCount> {-(-size // BLOCK)} </BlocksCount>\n    <MappedBlocksCount> {count} </MappedBlocksCount>\n"
        "    <ChecksumType> sha256 </ChecksumType>\n    <BmapFileChecksum> {} </BmapFileChecksum>\n"
        "    <BlockMap>\n" + "".join(rows).replace("{", "{{").replace("}", "}}") + "    </BlockMap>\n</bmap>\n"
    )
    # The map's own sum is taken with zeros in its place.
    own = hashlib.sha256(text.format("0" * 64).encode()).hexdigest()
    sys.stdout.write(text.format(own))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3])
