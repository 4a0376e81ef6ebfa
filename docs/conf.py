"""How Sphinx builds these pages: docs/build, or sphinx-build -W docs docs/_build/html."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

project = "flask_centralauth"
author = "The flask_centralauth developers"
copyright = author

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
# Every heading can be linked to, as on the pages where the sources are browsed.
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 140
# The docstrings' single backticks are names.
default_role = "code"

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_title = project
html_show_sphinx = False
pygments_style = "default"
