"""What file managers and file systems leave in folders: never ours, and no reason to complain."""

__all__ = ["is_litter"]

_NAMES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "lost+found", "$recycle.bin", "__macosx"})


def is_litter(name: str) -> bool:
    """Whether a name is hidden, or is one that Windows, macOS or a file system creates by itself."""
    return name.startswith(".") or name.lower() in _NAMES
