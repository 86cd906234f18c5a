"""Everything under DATA_DIR is readable by its owner only: folders 0700, files 0600."""

import os
from pathlib import Path

PRIVATE_UMASK = 0o077
FOLDER, FILE = 0o700, 0o600


def keep_private(folder: Path) -> None:
    """Mend what exists. What this process and its children create from now on is private."""
    os.umask(PRIVATE_UMASK)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(FOLDER)
    for parent, folders, files in os.walk(folder):
        for names, mode in ((folders, FOLDER), (files, FILE)):
            for name in names:
                path = Path(parent, name)
                if not path.is_symlink():
                    path.chmod(mode)
