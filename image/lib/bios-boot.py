"""bios-boot.py IMAGE BOOT.IMG CORE.IMG SECTOR: GRUB's first stages, for BIOS.

What grub-bios-setup would write, which wants a block device: boot.img into the boot code of the MBR, and
core.img at SECTOR (512 bytes each). Offsets: GRUB 2.06, include/grub/i386/pc/boot.h and grub-core/boot/i386/pc/diskboot.S.
"""

import struct
import sys

SECTOR = 512
# In boot.img: where core.img begins (u64), and a jump that some BIOSes need to be without.
KERNEL_SECTOR = 0x5C
DRIVE_CHECK = 0x66
BOOT_CODE = 440
# In core.img's first sector: at its end, the list of where the rest is: first sector (u64), sectors (u16), segment (u16).
FIRST_BLOCK = SECTOR - 12


def main(image_path: str, boot_path: str, core_path: str, sector: int) -> None:
    with open(boot_path, "rb") as file:
        boot = bytearray(file.read())
    with open(core_path, "rb") as file:
        core = bytearray(file.read())
    if len(boot) != SECTOR or len(core) <= SECTOR:
        sys.exit("bios-boot: boot.img has 512 bytes, core.img more; is grub-pc-bin whole?")
    struct.pack_into("<Q", boot, KERNEL_SECTOR, sector)
    # As grub-bios-setup does for hard disks: trust the number of the drive that the BIOS gives.
    boot[DRIVE_CHECK : DRIVE_CHECK + 2] = b"\x90\x90"
    core += bytes(-len(core) % SECTOR)
    _, sectors, segment = struct.unpack_from("<QHH", core, FIRST_BLOCK)
    if sectors != len(core) // SECTOR - 1:
        sys.exit(f"bios-boot: core.img says {sectors} sectors and has {len(core) // SECTOR - 1}")
    struct.pack_into("<QHH", core, FIRST_BLOCK, sector + 1, sectors, segment)
    with open(image_path, "r+b") as image:
        image.write(boot[:BOOT_CODE])
        image.seek(sector * SECTOR)
        image.write(core)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
