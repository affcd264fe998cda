"""The run folder: append records, atomic files, read them back."""

from plaudit.runs.folder import RunFolder, Stage

__all__ = ["RunFolder", "Stage"]
