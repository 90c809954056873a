"""The site of the documentation: what these pages are when Sphinx has read them.

    tox run -e docs

The pages are plain Markdown, to be read as files as well: what a site needs beyond that, the
table of contents and the ends of links that lead to the code, is added here.
"""

from __future__ import annotations

import re
from importlib.metadata import version as version_of
from pathlib import Path
from posixpath import normpath

from sphinx.application import Sphinx

DOCS = Path(__file__).parent
CHANGELOG = DOCS.parent / "CHANGELOG.md"

project = "jobyard"
author = "the jobyard developers"
copyright = "the jobyard developers"  # noqa: A001 - Sphinx names it so
version = release = version_of("jobyard")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.doctest"]
source_suffix = {".md": "markdown"}
root_doc = "index"
html_theme = "furo"
html_title = f"jobyard {release}"
html_show_copyright = False
exclude_patterns = ["tutorial/journal/**"]

default_role = "code"  # docstrings say `this` of code
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
python_use_unqualified_type_names = True
myst_enable_extensions = ["strikethrough"]
myst_heading_anchors = 3

CONTENTS = {
    "Learn": ["tutorial/first-queue", "tutorial/*"],
    "Do": ["how-to/handlers", "how-to/*"],
    "Come from": ["coming-from/*"],
    "Look up": ["reference/*", "contract"],
    "Understand": ["explanation/*", "decisions/README", "decisions/*"],
    "More": ["changelog"],
}
"""The parts of the site, as the index names them, and the pages of each."""

LINK = re.compile(r"\[([^\]]*)\]\((?!https?:)([^)\s#]+)(#[^)\s]*)?\)")


def complete(_app: Sphinx, page: str, source: list[str]) -> None:
    """Make a page of a site out of a page of Markdown."""
    text = source[0]
    if page == "changelog":
        text = CHANGELOG.read_text("utf-8").replace("](docs/", "](")
    if page == root_doc:
        text += "".join(_part(caption, pages) for caption, pages in CONTENTS.items())
    source[0] = LINK.sub(lambda link: _within(page, link), text)


def _part(caption: str, pages: list[str]) -> str:
    lines = [
        "",
        "```{toctree}",
        ":hidden:",
        ":glob:",
        f":caption: {caption}",
        "",
        *pages,
        "```",
        "",
    ]
    return "\n".join(lines)


def _within(page: str, link: re.Match[str]) -> str:
    """Keep a link within the site; of one to the code, keep the words."""
    place = normpath(str(Path(page).parent / link[2]))
    if not place.startswith("..") and (DOCS / place).is_file():
        return link[0]
    return link[1]


def setup(app: Sphinx) -> None:
    """Have the pages completed."""
    app.connect("source-read", complete)
