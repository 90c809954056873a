import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobyard.cli.application import AppNotLoaded, load_service

APP = """
from jobyard import QueueService

service = QueueService("memory://")
bare = QueueService("memory://")
number = 1

class Holder:
    inner = service

@service.handler("emails")
async def send(job): ...
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Makes an empty working directory, and forgets what is imported from it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    modules = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - modules:
        where = getattr(sys.modules[name], "__file__", None) or ""
        if where.startswith(str(tmp_path)):
            del sys.modules[name]


def refusal(app: str) -> str:
    with pytest.raises(AppNotLoaded) as caught:
        load_service(app)
    return str(caught.value)


def test_a_module_in_the_working_directory_is_found(folder: Path) -> None:
    (folder / "jobs_app.py").write_text(APP)

    assert load_service("jobs_app:service").handlers.queues() == ("emails",)


def test_a_module_in_a_package_is_found(folder: Path) -> None:
    (folder / "jobs_package").mkdir()
    (folder / "jobs_package" / "__init__.py").touch()
    (folder / "jobs_package" / "app.py").write_text(APP)

    assert load_service("jobs_package.app:service").handlers.queues() == ("emails",)


def test_a_file_is_found_and_its_neighbours_with_it(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "jobs_neighbour.py").write_text(APP)
    (folder / "sub" / "jobs-file.py").write_text("from jobs_neighbour import service")

    assert load_service("sub/jobs-file.py:service").handlers.queues() == ("emails",)


def test_an_attribute_of_an_attribute_is_found(folder: Path) -> None:
    (folder / "jobs_app.py").write_text(APP)

    assert load_service("jobs_app:Holder.inner").handlers.queues() == ("emails",)


@pytest.mark.parametrize("app", ["app", "app:", ":service", "app.py", ""])
def test_a_name_of_another_shape_is_told_the_shape(app: str) -> None:
    assert "write module:attribute or file.py:attribute" in refusal(app)


def test_a_path_without_its_ending_is_told_the_shape() -> None:
    assert "write module:attribute or file.py:attribute" in refusal("sub/app:service")


def test_a_module_that_is_not_there_is_named(folder: Path) -> None:
    assert f"there is no module 'jobs_none' in {folder}" in refusal("jobs_none:service")
    assert "there is no module 'jobs_none'" in refusal("jobs_none.app:service")


def test_a_file_that_is_not_there_is_named() -> None:
    assert refusal("none.py:service") == "there is no file none.py"


def test_a_module_that_the_app_misses_is_not_taken_for_the_app(folder: Path) -> None:
    (folder / "jobs_app.py").write_text("\nimport jobs_missing")

    message = refusal("jobs_app:service")

    assert "importing jobs_app failed at " in message
    assert "jobs_app.py:2: ModuleNotFoundError: No module named 'jobs_missing'" in message


def test_an_app_that_raises_is_told_with_its_place(folder: Path) -> None:
    (folder / "jobs_app.py").write_text("x = 1\ny = x / 0\n")

    assert "jobs_app.py:2: ZeroDivisionError: division by zero" in refusal("jobs_app.py:service")


def test_an_app_that_is_no_python_is_told(folder: Path) -> None:
    (folder / "jobs_app.py").write_text("def")

    assert "importing jobs_app failed: SyntaxError" in refusal("jobs_app:service")


def test_an_attribute_that_is_not_there_is_told_with_the_services_there_are(folder: Path) -> None:
    (folder / "jobs_app.py").write_text(APP)
    (folder / "jobs_bare.py").write_text("")

    assert refusal("jobs_app:app") == "jobs_app has no 'app'; the module has bare, service"
    assert refusal("jobs_bare:app") == "jobs_bare has no 'app'; the module has no QueueService"


def test_what_is_no_service_is_told(folder: Path) -> None:
    (folder / "jobs_app.py").write_text(APP)

    assert refusal("jobs_app:number") == (
        "jobs_app:number is no QueueService but int; the module has bare, service"
    )
    assert "is no QueueService but the class Holder" in refusal("jobs_app:Holder")


def test_a_service_without_handlers_is_told_how_to_get_one(folder: Path) -> None:
    (folder / "jobs_app.py").write_text(APP)

    assert "jobs_app:bare has no handlers: register them with @service.handler" in refusal(
        "jobs_app:bare"
    )


def test_a_file_with_the_name_of_another_module_is_told_to_be_renamed(folder: Path) -> None:
    (folder / "json.py").write_text(APP)

    message = refusal("json.py:service")

    assert "its name is that of another module, json" in message
    assert "rename the file" in message


def test_b08_a_blocking_service_is_as_good(folder: Path) -> None:
    text = APP.replace("from jobyard import", "from jobyard.sync import").replace(
        "async def", "def"
    )
    (folder / "jobs_app.py").write_text(text)
    service = load_service("jobs_app:service")
    assert service.handlers.queues() == ("emails",)
