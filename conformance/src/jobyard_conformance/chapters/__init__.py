"""The chapters of the contract, one noun each."""

from __future__ import annotations

from jobyard_conformance.chapter import Chapter
from jobyard_conformance.chapters.adding import Adding

__all__ = ["CHAPTERS"]

CHAPTERS: tuple[type[Chapter], ...] = (Adding,)
