"""A run folder in, one self-contained HTML file out."""

from plaudit.report.build import build

__all__ = ["build"]
