"""Telling a running guest that its root disk has grown."""

from __future__ import annotations

from hythe.provider.protocol import Attributes, ProviderError

_SECONDS = 120.0
# nothing of the user's is in it: the partition, where there is one, and then the file system
_SCRIPT = """\
set -e
device=$(findmnt -no SOURCE /)
disk=$(lsblk -no PKNAME "$device" | head -n 1)
if [ -n "$disk" ]; then
  growpart "/dev/$disk" "$(cat "/sys/class/block/${device##*/}/partition")" || [ $? = 1 ]
fi
case $(findmnt -no FSTYPE /) in
  ext*) resize2fs "$device" ;;
  xfs) xfs_growfs / ;;
  btrfs) btrfs filesystem resize max / ;;
esac
"""


def grow_root(attributes: Attributes) -> str:
    """Let the guest's root file system fill its disk. Empty when it does, else why not."""
    from hythe.provider.hosts import open_host

    if not (attributes.get("ssh") or {}).get("address"):
        return "Hythe has no way into it"
    guest = None
    try:
        guest = open_host(str(attributes.get("name")), {**attributes, "running": True})
        done = guest.run(["sh", "-c", _SCRIPT], timeout=_SECONDS)
    except ProviderError as failure:
        return failure.diagnostics[0].detail
    finally:
        if guest is not None:
            guest.close()
    if done.code == 0:
        return ""
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else f"code {done.code}"
