"""The chapters of the contract, one noun each."""

from __future__ import annotations

from jobyard_conformance.chapter import Chapter
from jobyard_conformance.chapters.adding import Adding
from jobyard_conformance.chapters.breaking import Breaking
from jobyard_conformance.chapters.changing import Changing
from jobyard_conformance.chapters.claiming import Claiming
from jobyard_conformance.chapters.clocks import Clocks
from jobyard_conformance.chapters.controlling import Controlling
from jobyard_conformance.chapters.crashes import Crashes
from jobyard_conformance.chapters.cutting import Cutting
from jobyard_conformance.chapters.depending import Depending
from jobyard_conformance.chapters.draining import Draining
from jobyard_conformance.chapters.events import Events
from jobyard_conformance.chapters.extending import Extending
from jobyard_conformance.chapters.grouping import Grouping
from jobyard_conformance.chapters.joining import Joining
from jobyard_conformance.chapters.keeping import Keeping
from jobyard_conformance.chapters.keying import Keying
from jobyard_conformance.chapters.life import Life
from jobyard_conformance.chapters.limiting import Limiting
from jobyard_conformance.chapters.listening import Listening
from jobyard_conformance.chapters.living import Living
from jobyard_conformance.chapters.looking import Looking
from jobyard_conformance.chapters.metrics import Counting
from jobyard_conformance.chapters.model import Modelling
from jobyard_conformance.chapters.moving import Moving
from jobyard_conformance.chapters.ordering import Ordering
from jobyard_conformance.chapters.outcomes import Outcomes
from jobyard_conformance.chapters.pacing import Pacing
from jobyard_conformance.chapters.races import Races
from jobyard_conformance.chapters.reaping import Reaping
from jobyard_conformance.chapters.repeating import Repeating
from jobyard_conformance.chapters.reporting import Reporting
from jobyard_conformance.chapters.scheduling import Scheduling
from jobyard_conformance.chapters.settling import Settling
from jobyard_conformance.chapters.sweeping import Sweeping
from jobyard_conformance.chapters.telling import Telling
from jobyard_conformance.chapters.whole import Whole
from jobyard_conformance.chapters.workers import Workers

__all__ = ["CHAPTERS"]

CHAPTERS: tuple[type[Chapter], ...] = (
    Adding,
    Claiming,
    Repeating,
    Ordering,
    Settling,
    Outcomes,
    Joining,
    Keeping,
    Extending,
    Reporting,
    Reaping,
    Living,
    Looking,
    Changing,
    Moving,
    Controlling,
    Sweeping,
    Grouping,
    Pacing,
    Limiting,
    Keying,
    Depending,
    Scheduling,
    Workers,
    Counting,
    Events,
    Telling,
    Draining,
    Listening,
    Life,
    Clocks,
    Whole,
    Races,
    Crashes,
    Breaking,
    Cutting,
    Modelling,
)
