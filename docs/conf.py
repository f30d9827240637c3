"""Configuration of the documentation: Sphinx with numpydoc, a gallery of the examples, MyST."""

from importlib.metadata import version as version_of

from docutils import nodes

project = "sklearn_bigan"
author = "the sklearn_bigan developers"
release = version = version_of("sklearn_bigan")
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["config.cache"]  # sphinx-gallery's sorting key cannot be pickled
exclude_patterns = ["_build"]
templates_path = ["_templates"]
autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say more
numpydoc_show_class_members = False
toc_object_entries_show_parents = "hide"
html_theme = "pydata_sphinx_theme"
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
}
html_static_path: list[str] = []
html_title = "sklearn_bigan"
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "examples",
    "filename_pattern": r"plot_(?!faces)",  # faces are downloaded
    "ignore_pattern": "digits_pipeline",
    "download_all_examples": False,
    "min_reported_time": 0,
    "capture_repr": (),
    "show_memory": False,
    "remove_config_comments": True,
    "within_subsection_order": "FileNameSortKey",
}
# Labels of scikit-learn's documentation in the docstrings of inherited methods.
SCIKIT_LEARN = {
    "metadata_routing": "metadata_routing.html",
    "meta-estimator": "glossary.html#term-meta-estimator",
    "df_output_transform": "auto_examples/miscellaneous/plot_set_output.html",
    "sphx_glr_auto_examples_miscellaneous_plot_set_output.py": (
        "auto_examples/miscellaneous/plot_set_output.html"
    ),
}


def link_to_scikit_learn(app, env, node, text):
    """Return a link for a reference to a label of scikit-learn's documentation."""
    page = SCIKIT_LEARN.get(node["reftarget"])
    if page is None:
        return None
    address = f"https://scikit-learn.org/stable/{page}"
    link = nodes.reference("", "", internal=False, refuri=address)
    link += nodes.inline("", node.astext())
    return link


def setup(app):
    """Connect the link."""
    app.connect("missing-reference", link_to_scikit_learn)
