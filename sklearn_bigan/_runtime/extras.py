"""Packages that only an extra of this one installs."""

from importlib import import_module


def require(name: str, extra: str, *packages: str) -> None:
    """Raise ImportError, naming the extra, unless what `name` needs can be imported."""
    for package in packages:
        try:
            import_module(package)
        except ImportError as error:
            raise ImportError(
                f'{name} needs {package}. Install the extra: pip install "sklearn_bigan[{extra}]".'
            ) from error
