import inspect
import re

import pytest

import sklearn_bigan
from sklearn_bigan import BiGANOutlierDetector, BiGANTransformer, load, metrics
from sklearn_bigan.onnx import register_converter

METHODS = {
    name: method
    for name, method in inspect.getmembers(BiGANTransformer, inspect.isroutine)
    if not name.startswith("_") and method.__module__.startswith("sklearn_bigan")
}
DETECTOR_METHODS = {
    f"BiGANOutlierDetector.{name}": getattr(BiGANOutlierDetector, name)
    for name in ("fit", "score_samples", "decision_function", "predict", "explain")
}
FUNCTIONS = {"load": load, **{name: getattr(metrics, name) for name in metrics.__all__}}
DISPLAYS = {
    name: getattr(sklearn_bigan, name) for name in sklearn_bigan.__all__ if name.endswith("Display")
}
DISPLAY_METHODS = {
    f"{name}.{method}": getattr(display, method)
    for name, display in DISPLAYS.items()
    for method in ("from_estimator", "plot")
}
DOCUMENTED = {
    "BiGANTransformer": BiGANTransformer,
    "BiGANOutlierDetector": BiGANOutlierDetector,
    "register_converter": register_converter,
    **FUNCTIONS,
    **METHODS,
    **DETECTOR_METHODS,
    **DISPLAYS,
    **DISPLAY_METHODS,
}


def sections(documented) -> dict[str, str]:
    """The numpydoc sections of a docstring by their titles."""
    parts = re.split(r"^(\w[\w ]*)\n-+\n", inspect.getdoc(documented), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(section: str) -> dict[str, str]:
    """Names and types of a section's entries."""
    return dict(re.findall(r"^(\w+) : (.+)$", section, flags=re.MULTILINE))


def parameters(documented) -> dict[str, inspect.Parameter]:
    found = dict(inspect.signature(documented).parameters)
    found.pop("self", None)
    return found


def test_the_public_methods_are_those_meant():
    assert set(METHODS) == {
        "fit", "partial_fit", "transform", "posterior_moments", "inverse_transform", "reconstruct",
        "sample", "score", "score_samples", "predict_cluster", "get_feature_names_out",
        "save", "to_onnx",
    }  # fmt: skip


@pytest.mark.parametrize("documented", DOCUMENTED.values(), ids=DOCUMENTED)
def test_parameters_are_documented_in_order_with_their_defaults(documented):
    documentation = entries(sections(documented).get("Parameters", ""))
    assert list(documentation) == list(parameters(documented))
    for name, parameter in parameters(documented).items():
        found = re.search(r"default=(.+)$", documentation[name])
        if parameter.default is inspect.Parameter.empty:
            assert found is None, name
        elif documentation[name] == "None":
            assert (name, parameter.default) == ("y", None)
        else:
            assert found, name
            assert eval(found[1]) == parameter.default, name


RETURNING = {**FUNCTIONS, **METHODS, **DETECTOR_METHODS, **DISPLAY_METHODS}


@pytest.mark.parametrize("method", RETURNING.values(), ids=RETURNING)
def test_every_method_says_what_it_returns(method):
    if method in (BiGANTransformer.save, BiGANTransformer.to_onnx):
        assert inspect.signature(method).return_annotation is None
        return
    assert entries(sections(method)["Returns"]) or "mean, std :" in sections(method)["Returns"]


def test_the_class_has_an_example_and_its_sources():
    found = sections(BiGANTransformer)
    assert ">>>" in found["Examples"]
    assert "1605.09782" in found["References"]
    assert "1606.00704" in found["References"]


@pytest.mark.parametrize("display", DISPLAYS.values(), ids=DISPLAYS)
def test_every_display_has_an_example_and_says_what_it_raises(display):
    found = sections(display)
    assert ">>> display = " in found["Examples"]
    assert {"figure_"} < set(entries(found["Attributes"]))
    for method in (display.from_estimator, display.plot):
        assert "TypeError" in sections(method)["Raises"]


def test_every_fitted_attribute_is_documented(small_digits):
    fitted = BiGANTransformer(max_epochs=0).fit(small_digits)
    public = {name for name in dir(fitted) if name.endswith("_") and not name.startswith("_")}
    documented = set(entries(sections(BiGANTransformer)["Attributes"]))
    assert public == documented - {"feature_names_in_"}


def test_every_attribute_of_the_detector_is_documented(small_digits):
    bigan = BiGANTransformer(max_epochs=1)
    fitted = BiGANOutlierDetector(bigan).fit(small_digits)
    public = {name for name in vars(fitted) if name.endswith("_") and not name.startswith("_")}
    found = sections(BiGANOutlierDetector)
    assert public == set(entries(found["Attributes"])) - {"feature_names_in_"}
    assert ">>>" in found["Examples"]
    assert "1802.06222" in found["References"]
