"""sed_eval, though its dependency dcase_util imports pkg_resources, which setuptools no longer has.

dcase_util needs it for its examples only.
"""

import sys
import types
import warnings

sys.modules.setdefault("pkg_resources", types.ModuleType("pkg_resources"))
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import sed_eval

__all__ = ["sed_eval"]
