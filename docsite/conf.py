"""Sphinx builds `docs/` into a site; `make docs` runs it, and every warning fails it."""

from importlib.metadata import version as installed_version

from sphinx.application import Sphinx

from docsite import api_page, cli_page, navigation

project = "hardneg"
project_copyright = "the hardneg authors, Apache-2.0"
version = release = installed_version("hardneg")

extensions = ["myst_parser"]
root_doc = "index"
nitpicky = True
myst_heading_anchors = 3  # links to headings are checked

html_theme = "furo"
html_title = f"hardneg {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_use_index = False
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"sidebar_hide_name": False, "navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "monokai"

# What is written by code is added to its page at build, and never kept in a file.
WRITTEN = {
    "index": navigation.toctrees,
    "reference/http-api": api_page.operations,
    "reference/cli": cli_page.commands,
}


def _add_what_code_writes(app: Sphinx, page: str, source: list[str]) -> None:
    if page in WRITTEN:
        source[0] = f"{source[0].rstrip()}\n\n{WRITTEN[page]()}"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", _add_what_code_writes)
    return {"parallel_read_safe": True}
