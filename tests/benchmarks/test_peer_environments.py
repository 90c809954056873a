"""The environments of peers, and what stands in two languages; without npm and Node."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from benchmarks.children import ROOT
from benchmarks.peers import environment, play, tally
from benchmarks.peers.catalogue import IN_NODE, PEERS
from benchmarks.peers.entrant import describe
from benchmarks.peers.environment import REQUIREMENTS, NotInstalled, NpmEnvironment, command_of
from benchmarks.peers.peer import EMAIL
from benchmarks.stores import STORES

PEERS_FOLDER = ROOT / "benchmarks" / "peers"
NODE_PEERS = [(store, peer) for store, peers in PEERS.items() for peer in peers if peer in IN_NODE]

# Stands for npm: it notes how it was called, and installs something.
NPM = """#!/bin/sh
echo "$@" >> "$0.calls"
mkdir -p node_modules/node-here/bin && touch {node}
"""


def source_of(path: str) -> str:
    return (PEERS_FOLDER / path).read_text(encoding="utf-8")


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gives the path of the npm that will be found; it is not there yet."""
    monkeypatch.setattr(environment, "FOLDER", tmp_path / "made")
    path = tmp_path / "bin" / "npm"
    path.parent.mkdir()
    monkeypatch.setattr(shutil, "which", lambda _: str(path) if path.exists() else None)
    return path


def write_npm(path: Path, script: str) -> None:
    path.write_text(script, encoding="utf-8")
    path.chmod(0o755)


def test_where_npm_is_missing_a_peer_in_node_is_not_installed(npm: Path) -> None:
    assert not npm.exists()
    with pytest.raises(NotInstalled, match="npm is not there"):
        command_of("plainjob")


def test_what_npm_says_is_the_reason_and_the_next_time_tries_again(npm: Path) -> None:
    failing = 'echo tried >> "$0.calls"; echo "npm error code E404" >&2; exit 1'
    write_npm(npm, f"#!/bin/sh\n{failing}\n")
    for _ in range(2):
        with pytest.raises(NotInstalled, match="npm error code E404"):
            command_of("plainjob")

    assert len(npm.with_suffix(".calls").read_text().splitlines()) == 2


def test_a_peer_is_installed_once_without_scripts_and_plays_on_the_pinned_node(npm: Path) -> None:
    write_npm(npm, NPM.format(node="node_modules/node-here/bin/node"))

    command = command_of("plainjob")
    again = command_of("plainjob")

    node, script, folder = command
    assert again == command
    assert Path(node).is_relative_to(NpmEnvironment("node").folder)
    assert Path(script).is_file()
    assert (Path(folder) / "package.json").read_bytes() == (
        REQUIREMENTS / "plainjob.json"
    ).read_bytes()
    calls = npm.with_suffix(".calls").read_text().splitlines()
    assert len(calls) == 2
    assert all("--ignore-scripts" in call for call in calls)


def test_a_machine_for_which_npm_has_no_node_is_told(npm: Path) -> None:
    write_npm(npm, NPM.format(node="nothing-of-use"))

    with pytest.raises(NotInstalled, match="no Node of the pinned version"):
        command_of("plainjob")


def test_node_has_one_version_for_every_machine() -> None:
    package = json.loads((REQUIREMENTS / "node.json").read_text(encoding="utf-8"))

    assert len(set(package["optionalDependencies"].values())) == 1


def test_an_entrant_is_whatever_answers_in_lines(tmp_path: Path) -> None:
    script = tmp_path / "play.sh"
    script.write_text("""echo '{"choices": ["'"$2 $3 $4"'"]}'""", encoding="utf-8")

    found = describe("some", STORES["redis"], ("/bin/sh", str(script), "here"), tmp_path)

    assert found.choice == "redis some describe"


# -- what is written down in Python and in JavaScript


def test_both_languages_play_the_same_roles_in_the_same_words() -> None:
    roles = re.findall(r"^    async (\w+)\(peer", source_of("play.mjs"), re.MULTILINE)
    told = re.search(r"const describe = .*?^\}\);", source_of("play.mjs"), re.DOTALL | re.MULTILINE)
    assert told is not None
    facts = re.findall(r"^    (\w+):", told[0], re.MULTILINE)
    ours = play.describe(play.find("sqlite", "jobyard"))

    assert set(roles) == set(play.ROLES)
    assert set(facts) == set(ours)
    assert ours["runtime"].endswith(".".join(map(str, sys.version_info[:3])))


def test_both_languages_have_the_same_payload_and_tally() -> None:
    assert f'"{EMAIL}"' in source_of("peer.mjs")
    assert f'"{tally.VARIABLE}"' in source_of("tally.mjs")
    assert f"Buffer.alloc({tally.RECORD.size})" in source_of("tally.mjs")


@pytest.mark.parametrize(("store", "peer"), NODE_PEERS)
def test_an_adapter_for_node_tells_all_and_pins_what_it_imports(store: str, peer: str) -> None:
    source = source_of(f"on_{store}/{peer}.mjs")
    pins = json.loads((REQUIREMENTS / f"{peer}.json").read_text(encoding="utf-8"))["dependencies"]
    packages = re.search(r"static packages = (\[.*\]);", source)
    imports = re.findall(r'^import .* from "([^.].*)";', source, re.MULTILINE)

    assert packages is not None
    assert imports
    assert {*json.loads(packages[1]), *imports} <= set(pins)
    for part in ("settings", "choices", "jobs"):
        assert f"    static {part} = " in source
    for method in ("open", "close", "add", "work"):
        assert f"    async {method}(" in source
    assert ("    static hasBulk = true" in source) == ("    async addMany(" in source)
