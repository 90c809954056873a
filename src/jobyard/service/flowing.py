"""Flows: jobs that depend on one another, added together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, Unpack

from jobyard.errors import InvalidJob, InvalidOption
from jobyard.flowcontrol import Parent
from jobyard.handle import Job
from jobyard.hooks import Draft
from jobyard.ids import new_job_id
from jobyard.job import Dependency, JobSpec
from jobyard.options import FlowArgs
from jobyard.service.producing import Producing

__all__ = ["FlowJob", "Flowing"]


Before: TypeAlias = "FlowJob | Parent | Dependency | str"


class FlowJob:
    """A job of a flow, to be given to `add_flow`; it runs when those of `depends_on` have.

    These may be other jobs of the flow, each as many times as jobs depend on it, or jobs that are
    there already. The options are those of `add_job`.
    """

    __slots__ = ("data", "depends_on", "name", "options", "queue")

    def __init__(
        self,
        queue: str,
        name: str | None,
        data: object = None,
        *,
        depends_on: Before | Sequence[Before] = (),
        **options: Unpack[FlowArgs],
    ) -> None:
        if isinstance(depends_on, FlowJob | str | Parent | Dependency):
            depends_on = (depends_on,)
        self.queue: Final = queue
        self.name: Final = name
        self.data: Final = data
        self.depends_on: Final = tuple(depends_on)
        self.options: Final[Mapping[str, Any]] = options

    def __repr__(self) -> str:
        """Show where it goes, never the payload."""
        return f"<FlowJob {self.queue}/{self.name or '(unnamed)'}>"


class Flowing(Producing):
    """The part of a service that adds flows."""

    async def add_flow(self, *jobs: FlowJob) -> list[Job]:
        """Add jobs and all that they depend on, over any queues, all or none.

        Answers the jobs in the order they are stored: what a job depends on comes before it, so
        that the last is the last one given. A job that several depend on is added once.

        Raises as `add_job` does, naming the job.
        """
        order = _in_order(jobs)
        ids = {job: _id_of(job) for job in order}
        if self.hooks.around_add:
            drafts = [Draft(j.queue, j.name, j.data, _options(j, ids)) for j in order]
            return await self._through(drafts)
        specs = tuple(self._flow_spec(job, ids) for job in order)
        return await self._add_unit(specs)

    def _flow_spec(self, job: FlowJob, ids: Mapping[FlowJob, str]) -> JobSpec:
        try:
            return self._spec(job.queue, job.name, job.data, self._fields(_options(job, ids)))
        except (InvalidJob, TypeError) as error:
            msg = f"{job!r}: {error}"
            raise (type(error) if isinstance(error, InvalidJob) else TypeError)(msg) from None


def _options(job: FlowJob, ids: Mapping[FlowJob, str]) -> dict[str, Any]:
    parents = [ids[each] if isinstance(each, FlowJob) else each for each in job.depends_on]
    return {**job.options, "job_id": ids[job], "depends_on": parents}


def _in_order(roots: Sequence[object]) -> list[FlowJob]:
    """List jobs after all that they depend on, each once; a flow cannot have a cycle."""
    order: dict[FlowJob, None] = {}
    todo: list[tuple[object, bool]] = [(root, False) for root in reversed(roots)]
    while todo:
        job, is_ready = todo.pop()
        if not isinstance(job, FlowJob):
            msg = f"add_flow takes FlowJobs, not {job!r}"
            raise InvalidOption(msg)
        if is_ready:
            order[job] = None
        elif job not in order:
            todo.append((job, True))
            before = [each for each in job.depends_on if isinstance(each, FlowJob)]
            todo += [(each, False) for each in reversed(before)]
    return list(order)


def _id_of(job: FlowJob) -> str:
    own = job.options.get("job_id")
    return new_job_id() if own is None else own
