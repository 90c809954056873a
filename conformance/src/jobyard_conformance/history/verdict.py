"""What a checker says: which invariant a history breaks, and of which job."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Violation"]


@dataclass(frozen=True, slots=True)
class Violation:
    """One fault: the invariant by its id, the job (empty where it is about no job), what is so."""

    invariant: str
    job_id: str
    text: str

    def __str__(self) -> str:
        """Show it in a line."""
        about = f" of {self.job_id}" if self.job_id else ""
        return f"{self.invariant}{about}: {self.text}"
