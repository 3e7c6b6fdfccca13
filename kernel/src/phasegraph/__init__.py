"""Phasegraph: keeps network audio in phase with any clock.

This package is what plugins import; everything whose name begins with an underscore is private. The public names are
listed in ``__init__.pyi`` and imported on first use, so that ``kernel --help`` does not wait for numpy and trio.
"""

from ._lazy_names import lazy_names

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)
