"""Facts of Windows, put before plaudit: no module resource, no opened folders, no fsync of what is open for reading."""

import builtins
import errno
import os
from pathlib import Path

if os.name != "nt":
    import fcntl

    opened, synced, imported = os.open, os.fsync, builtins.__import__

    def open_file(path, flags, *rest, **more):
        if isinstance(path, str | os.PathLike) and Path(path).is_dir():
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, flags, *rest, **more)

    def import_(name, globals=None, *rest, **more):
        # Other libraries ask what system they are on; plaudit must not need it.
        if name in ("resource", "fcntl") and str((globals or {}).get("__name__")).startswith("plaudit"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return imported(name, globals, *rest, **more)

    def sync(descriptor):
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        synced(descriptor)

    os.open, os.fsync = open_file, sync
    builtins.__import__ = import_
