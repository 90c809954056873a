"""The comparison with other job queues: its rules, on jobyard alone and at a tiny size."""

import json
import re
import sys
from pathlib import Path

import pytest
from benchmarks.children import ROOT
from benchmarks.peers import tally
from benchmarks.peers.catalogue import IN_NODE, OURS, PEERS, TITLES
from benchmarks.peers.entrant import Entrant, EntrantFailed, describe, rate_of
from benchmarks.peers.environment import REQUIREMENTS, command_of, in_python
from benchmarks.peers.result import OtherRun, Result
from benchmarks.stores import STORES
from tools import figures

pytestmark = pytest.mark.timeout(900)
"""Many processes one after the other, each of which a busy machine may start slowly."""

ADAPTERS = ROOT / "benchmarks" / "peers"
PIN = re.compile(r"[A-Za-z0-9_.@/-]+(\[[a-z,]+\])?==[0-9][A-Za-z0-9.-]*")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Entrant:
    folder = tmp_path_factory.mktemp("compare")
    return describe(OURS, STORES["sqlite"], command_of(OURS), folder)


def test_an_entrant_tells_its_versions_and_settings(ours: Entrant) -> None:
    assert ours.facts["versions"]["jobyard"]
    assert "synchronous=FULL" in ours.facts["settings"]
    assert ours.choice in ours.facts["choices"]


def test_two_workers_drain_every_job_exactly_once(ours: Entrant) -> None:
    drained = ours.drain(200, 2, "10")

    assert (drained.jobs, drained.twice, drained.never) == (200, 0, 0)
    assert drained.rate > 0
    assert drained.bytes > 0


def test_adding_is_measured_in_each_way_asked_for(ours: Entrant) -> None:
    rates = ours.add({"one": 5, "bulk": 20})

    assert set(rates) == {"one", "bulk"}
    assert all(rate > 0 for rate in rates.values())


def test_an_entrant_that_cannot_do_it_fails_with_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(EntrantFailed, match="No module named"):
        describe("unheard_of", STORES["sqlite"], in_python(sys.executable), tmp_path)


def test_a_rate_is_taken_over_whole_batches() -> None:
    second = 1_000_000_000
    starts = [batch * second + place for batch in range(10) for place in range(100)]

    # A hundred jobs each second: a start in the middle of a batch would give more.
    assert rate_of(starts) == pytest.approx(100, rel=0.001)
    assert rate_of([number * second for number in range(50)]) == pytest.approx(1)


def test_the_tally_keeps_who_ran_and_when(tmp_path: Path) -> None:
    file = tmp_path / "tally"
    file.write_bytes(tally.RECORD.pack(7, 100) + tally.RECORD.pack(7, 200))

    assert tally.count(file) == 2
    assert tally.read(file) == [tally.Run(7, 100), tally.Run(7, 200)]
    assert tally.count(tmp_path / "none") == 0


@pytest.mark.parametrize(
    ("store", "peer"), [(store, peer) for store, peers in PEERS.items() for peer in peers]
)
def test_a_peer_has_an_adapter_pins_and_a_title(store: str, peer: str) -> None:
    ending = "mjs" if peer in IN_NODE else "py"
    pins = npm_pins(peer) if peer in IN_NODE else pip_pins(peer)

    assert (ADAPTERS / f"on_{store}" / f"{peer}.{ending}").is_file()
    assert pins
    assert [pin for pin in pins if not PIN.fullmatch(pin)] == []
    assert peer in TITLES
    assert peer in figures.TITLES


def pip_pins(peer: str) -> list[str]:
    return (REQUIREMENTS / f"{peer}.txt").read_text(encoding="utf-8").split()


def npm_pins(peer: str) -> list[str]:
    """Gives them as pip would write them."""
    package = json.loads((REQUIREMENTS / f"{peer}.json").read_text(encoding="utf-8"))
    assert package.pop("private") is True
    return [f"{name}=={its}" for pins in package.values() for name, its in pins.items()]


# -- the result


TOLD = {
    "commit": "c0ffee",
    "machine": {
        "cores": 2,
        "processor": "some",
        "memory_mib": 2048,
        "system": "Linux",
        "python": "CPython 3.13",
    },
    "sizes": {"name": "tiny"},
}


SLICE = {"command": "it", "began": "then", "seconds": 1, "fsync_ms": 0.5, "load_before": [0.1]}


def told_of(**rates: list[float]) -> Result:
    result = Result(
        json.loads(json.dumps(TOLD))
        | {"stores": {"redis": {"product": "Valkey", "settings": "none"}}}
        | {"entrants": {"redis": {}}}
    )
    for entrant, values in rates.items():
        for value in values:
            figure = result.note("redis", "W4", entrant, "jobs/s", value)
            result.prove(figure, 10, int(entrant == "twice"), 0)
    return result


def test_a_slice_is_added_to_a_result_of_the_same_commit_only(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    told_of(jobyard=[10.0]).write(path, "first", 0.1)

    again = Result.begin(json.loads(json.dumps(TOLD)), path)
    again.note("redis", "W4", "jobyard", "jobs/s", 30.0)
    again.write(path, "second", 0.1)

    written = json.loads(path.read_text())
    (figure,) = written["figures"]
    assert (figure["values"], figure["median"]) == ([10.0, 30.0], 20.0)
    assert [part["command"] for part in written["slices"]] == ["first", "second"]
    with pytest.raises(OtherRun, match="another commit"):
        Result.begin({**TOLD, "commit": "decaf"}, path)


def test_the_pages_compare_with_the_best_peer_that_ran_each_job_once() -> None:
    result = told_of(jobyard=[100.0, 90.0], raw=[200.0, 150.0], slow=[10.0, 9.0], twice=[80.0, 80])
    result.fail("redis", "broken", "install", "no such version")
    shown = figures.Result(result.told | {"slices": [SLICE]})

    page = "\n".join(figures.long(shown))

    assert shown.best_peer("redis", "W4") == "slow"
    assert shown.ratio("redis", "W4", "slow") == [10.0, 10.0]
    assert shown.ratio("redis", "W4", "raw") == [0.5, 0.6]
    assert "**no**: of 20, 2 twice, 0 never" in page
    assert "broken, install, **has no figure**: no such version" in page
    assert "c0ffee" in page
    assert "(not exactly once)" in figures.chart(shown)
    assert "**95.00** · 9.50 slow" in "\n".join(figures.short(shown))


def test_a_peer_in_node_is_no_python_peer_and_is_told_apart() -> None:
    result = told_of(jobyard=[100.0], slow=[10.0], plainjob=[50.0], pg_boss=[5.0])
    result.told["entrants"]["redis"]["plainjob"] = {
        "versions": {"plainjob": "1.0"},
        "runtime": "Node 26.1",
        "settings": "defaults",
    }
    shown = figures.Result(result.told | {"slices": [SLICE]})
    page, short = "\n".join(figures.long(shown)), "\n".join(figures.short(shown))

    assert shown.best_peer("redis", "W4", in_python=True) == "slow"
    assert shown.best_peer("redis", "W4") == "plainjob"
    assert "**100** · 10.00 slow · 50.00 plainjob (Node)" in short
    assert "litequeue and plainjob do not wait for the disk" in short
    assert re.search(r"the best Python peer \|.*10\.00 .*slow", page)
    assert re.search(r"the best peer in any language \|.*2\.00 .*plainjob \(Node\)", page)
    assert "plainjob (Node): Node 26.1, plainjob 1.0; defaults" in page


def test_a_python_peer_that_is_best_of_all_is_named_once() -> None:
    shown = figures.Result(
        told_of(jobyard=[100.0], slow=[10.0], pg_boss=[5.0]).told | {"slices": [SLICE]}
    )

    assert "**100** · 10.00 slow |" in "\n".join(figures.short(shown))
