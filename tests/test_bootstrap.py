"""The parts of tools/bootstrap.py that need neither a network nor an environment."""

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "tools" / "bootstrap.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bootstrap = load()
ALL = ("venv", "ensurepip", "sqlite3", "ssl")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Makes a folder with the files that an environment is made from."""
    root = tmp_path / "a checkout"
    for place in bootstrap.DISTRIBUTIONS:
        (root / place).mkdir(parents=True, exist_ok=True)
        (root / place / "pyproject.toml").write_text(f"name = '{place}'\n")
    (root / "tools").mkdir()
    for name in (bootstrap.REQUIREMENTS, bootstrap.CONSTRAINTS, "tools/bootstrap.py"):
        (root / name).write_text("one\n")
    return root


@pytest.fixture
def finished(checkout: Path) -> Path:
    """Makes what a finished set-up leaves, as far as the script looks at it."""
    venv = checkout / ".venv"
    inside = Path(bootstrap.venv_python(str(venv)))
    inside.parent.mkdir(parents=True)
    inside.touch()
    (venv / bootstrap.MARK).touch()
    bootstrap.write(str(venv / bootstrap.STAMP), bootstrap.fingerprint(str(checkout), "3.12.1"))
    return venv


def test_a_probe_of_this_python_says_what_it_is() -> None:
    python = bootstrap.probe(sys.executable)

    assert python.version == sys.version_info[:3]
    assert python.usable
    assert Path(python.path).exists()


def test_a_command_that_is_no_python_is_none() -> None:
    assert bootstrap.probe("no-such-python") is None


@pytest.mark.parametrize("output", ["", "3.11.2\n", "hello\n"])
def test_an_answer_that_is_cut_short_is_none(output: str) -> None:
    assert bootstrap.parse_probe(output) is None


def test_a_python_whose_sqlite_cannot_be_loaded_is_not_usable() -> None:
    python = bootstrap.parse_probe("3.11.2\n/usr/bin/python3\nvenv ensurepip sqlite3 ssl\nbroken\n")

    assert python.modules == {"venv", "ensurepip"}
    assert not python.usable


@pytest.mark.parametrize(
    ("version", "modules", "usable"),
    [
        ((3, 11, 0), ALL, True),
        ((3, 14, 0), ("venv", "sqlite3", "ssl"), True),
        ((3, 10, 13), ALL, False),
        ((3, 12, 1), ("ensurepip", "sqlite3", "ssl"), False),
    ],
)
def test_a_usable_python_is_new_enough_and_whole(
    version: tuple[int, ...], modules: tuple[str, ...], usable: bool
) -> None:
    assert bootstrap.Python("python", version, modules).usable is usable


def test_a_python_with_ensurepip_is_chosen_first() -> None:
    without = bootstrap.Python("a", (3, 13, 0), ("venv", "sqlite3", "ssl"))
    whole = bootstrap.Python("b", (3, 11, 0), ALL)
    old = bootstrap.Python("c", (3, 9, 0), ALL)

    assert bootstrap.choose([old, without, whole]) is whole
    assert bootstrap.choose([old, without]) is without
    assert bootstrap.choose([old]) is None


def test_without_a_fit_python_the_message_says_what_to_install() -> None:
    message = bootstrap.no_python([bootstrap.Python("/usr/bin/python3", (3, 9, 2), ALL)])

    assert "needs Python 3.11 or later" in message
    assert "found Python 3.9.2 at /usr/bin/python3: too old" in message
    assert "apt install python3" in message


def test_a_python_that_lacks_a_module_is_named_with_it() -> None:
    python = bootstrap.Python("/opt/python3", (3, 12, 0), ("venv", "ssl"))

    assert "Python 3.12.0 at /opt/python3: without sqlite3" in bootstrap.no_python([python])


def test_a_python_that_was_asked_for_and_is_not_there_is_an_error() -> None:
    with pytest.raises(bootstrap.SetupError, match="no-such-python cannot be run"):
        bootstrap.find_python("no-such-python")


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("pip 25.1 from /usr/lib/python3/dist-packages/pip (python 3.11)", (25, 1)),
        ("pip 22.3.1 from x", (22, 3)),
        ("pip 26.0b1 from x", (26, 0)),
        ("Usage: pip", ()),
        ("", ()),
    ],
)
def test_the_version_of_a_pip_is_read(output: str, version: tuple[int, ...]) -> None:
    assert bootstrap.parse_pip_version(output) == version


def test_the_pip_of_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "pip_version", lambda _: (26, 0))
    python = bootstrap.Python("/usr/bin/python3", (3, 11, 2), ALL)

    assert bootstrap.find_pip("v", python) == [bootstrap.venv_python("v"), "-m", "pip"]


def test_without_it_a_pip_of_the_system_installs_into_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inside = bootstrap.venv_python("v")
    pips = {("/usr/bin/python3", "-m", "pip"): (22, 2), ("pip3",): (23, 0)}
    monkeypatch.setattr(bootstrap, "pip_version", lambda command: pips.get(tuple(command), ()))
    python = bootstrap.Python("/usr/bin/python3", (3, 11, 2), ("venv", "sqlite3", "ssl"))

    assert bootstrap.find_pip("v", python) == ["pip3", "--python", inside]


def test_without_any_pip_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "pip_version", lambda _: ())
    python = bootstrap.Python("/usr/bin/python3", (3, 11, 2), ("venv", "sqlite3", "ssl"))

    with pytest.raises(bootstrap.SetupError, match="apt install python3-venv"):
        bootstrap.find_pip("v", python)


def test_a_finished_environment_is_whole(checkout: Path, finished: Path) -> None:
    assert bootstrap.is_whole(str(finished), str(checkout))


def remove_stamp(checkout: Path, venv: Path) -> None:
    (venv / bootstrap.STAMP).unlink()


def remove_python(checkout: Path, venv: Path) -> None:
    Path(bootstrap.venv_python(str(venv))).unlink()


def change_constraints(checkout: Path, venv: Path) -> None:
    (checkout / bootstrap.CONSTRAINTS).write_text("two\n")


def change_a_project(checkout: Path, venv: Path) -> None:
    (checkout / "backends/sql/pyproject.toml").write_text("name = 'changed'\n")


def garble_the_stamp(checkout: Path, venv: Path) -> None:
    (venv / bootstrap.STAMP).write_text("garbled\n")


@pytest.mark.parametrize(
    "spoil",
    [remove_stamp, remove_python, change_constraints, change_a_project, garble_the_stamp],
)
def test_any_other_environment_is_not_whole(
    checkout: Path, finished: Path, spoil: Callable[[Path, Path], None]
) -> None:
    spoil(checkout, finished)

    assert not bootstrap.is_whole(str(finished), str(checkout))


def test_an_environment_of_a_moved_checkout_is_not_whole(checkout: Path, finished: Path) -> None:
    moved = checkout.rename(checkout.with_name("moved"))

    assert not bootstrap.is_whole(str(moved / finished.name), str(moved))


def test_an_environment_of_another_python_than_the_wanted_is_not_whole(
    checkout: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"python3.12": (3, 12, 1), "python3.13": (3, 13, 0)}
    monkeypatch.setattr(bootstrap, "probe", lambda name: bootstrap.Python(name, found[name], ALL))

    assert bootstrap.is_whole(str(finished), str(checkout), "python3.12")
    assert not bootstrap.is_whole(str(finished), str(checkout), "python3.13")


def test_what_an_interrupted_set_up_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / bootstrap.MARK).touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "lib64").symlink_to("lib")
    (tmp_path / "pyvenv.cfg").touch()

    bootstrap.clear(str(tmp_path))

    assert [path.name for path in tmp_path.iterdir()] == [bootstrap.MARK]
    assert Path(sys.executable).exists()


def test_an_environment_of_someone_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pyvenv.cfg").touch()

    with pytest.raises(bootstrap.SetupError, match="was not made by this script"):
        bootstrap.clear(str(tmp_path))

    assert (tmp_path / "pyvenv.cfg").exists()


def test_an_empty_folder_or_none_is_nothing_to_clear(tmp_path: Path) -> None:
    bootstrap.clear(str(tmp_path))
    bootstrap.clear(str(tmp_path / "none"))

    assert tmp_path.is_dir()


def test_settings_that_lead_elsewhere_are_left_out() -> None:
    environment = {"PATH": "/bin", "PIP_USER": "1", "PYTHONPATH": "/x", "PIP_TARGET": "/y"}

    assert bootstrap.surroundings(environment.items()) == {"PATH": "/bin"}


def test_all_six_distributions_are_installed_by_one_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(bootstrap, "run", lambda command, **_: ran.append(list(command)))

    bootstrap.install(["pip"], str(ROOT))

    editable = [command for command in ran if "-e" in command]
    assert len(editable) == 1
    assert editable[0].count("-e") == 6
    assert all("-c" in command for command in ran if "install" in command)


def test_every_project_of_the_checkout_is_among_the_distributions() -> None:
    projects = [*ROOT.glob("pyproject.toml"), *ROOT.glob("*/pyproject.toml")]
    projects += ROOT.glob("backends/*/pyproject.toml")

    assert {path.parent.resolve() for path in projects} == {
        (ROOT / place).resolve() for place in bootstrap.DISTRIBUTIONS
    }


def test_a_second_set_up_waits_for_the_first(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    venv = tmp_path / "venv"
    with (tmp_path / "venv.lock").open("w") as other:
        with bootstrap.locked(str(venv)), pytest.raises(OSError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_lock_stays_while_a_step_of_a_killed_set_up_lives(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    waiting = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with bootstrap.locked(str(tmp_path / "venv")):
        step = subprocess.Popen(waiting, stdin=subprocess.PIPE, close_fds=False)
    with (tmp_path / "venv.lock").open("w") as other:
        with pytest.raises(OSError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        step.communicate()
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_script_runs_on_an_older_python() -> None:
    ast.parse(SCRIPT.read_text(encoding="utf-8"), feature_version=(3, 7))
