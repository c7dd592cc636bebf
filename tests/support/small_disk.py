"""A small file system to fill up, visible only to the process that mounts it, and gone with it.

And a limit on file sizes, which simulates a full disk without a mount.
"""

import ctypes
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEW_MOUNTS, NEW_USER = 0x0002_0000, 0x1000_0000  # CLONE_NEWNS, CLONE_NEWUSER
PRIVATE = 0x4_4000  # MS_REC | MS_PRIVATE: mounts made here are not seen elsewhere
BALLAST = "ballast"


def mount_small_disk(folder: Path, size_mib: int = 64) -> None:
    """Mount an empty file system of this size on `folder`. Call it in a process that has started no
    thread.

    Needs no privileges if the system allows user namespaces. Raises OSError if it allows no such
    mounts.
    """
    user, group, found = os.geteuid(), os.getegid(), []
    for flags in (NEW_MOUNTS | NEW_USER, NEW_MOUNTS):
        try:
            called("unshare", ctypes.c_int(flags))
            break
        except OSError as refused:
            found.append(refused)
    else:
        raise OSError(
            f"this machine allows no mounts of one's own, which a full disk is played with: {found}"
        )
    if not found:  # in a new user namespace, with the same ids
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            Path(f"/proc/self/{name}").write_text(text)
    folder.mkdir(parents=True, exist_ok=True)
    called("mount", None, b"/", None, ctypes.c_ulong(PRIVATE), None)
    called(
        "mount",
        b"tmpfs",
        os.fsencode(folder),
        b"tmpfs",
        ctypes.c_ulong(0),
        f"size={size_mib}m".encode(),
    )


def fill(disk: Path, free: int) -> None:
    """Fill the disk up to `free` bytes, rounded to a page."""
    with (disk / BALLAST).open("wb") as ballast:
        space = os.statvfs(disk)
        os.posix_fallocate(ballast.fileno(), 0, max(space.f_bavail * space.f_frsize - free, 1))


def make_room(disk: Path) -> None:
    (disk / BALLAST).unlink()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Limit the size of files that this process writes to `size` bytes; beyond it, writes raise
    OSError."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def called(name: str, *arguments: object) -> None:
    """Call a C library function; raise OSError if it fails."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
