"""With PRETEND_LIBRARY, every Python process that imports torch gets the pretend device: the library is loaded
before torch's own modules, because torch that was imported without it does not take it later.
"""

import importlib.abc
import importlib.util
import os
import sys


class _Loader(importlib.abc.Loader):
    """Loads torch's libraries, then ours, then torch's package, then what replaces torch.cuda's functions."""

    def __init__(self, loader):
        self.loader = loader

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        import ctypes

        ctypes.CDLL(os.environ["PRETEND_LIBRARY"], mode=ctypes.RTLD_GLOBAL)
        self.loader.exec_module(module)
        import pretend_torch


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        found = importlib.util.find_spec("torch")
        if found is not None:
            found.loader = _Loader(found.loader)
        return found


if os.environ.get("PRETEND_LIBRARY"):
    sys.meta_path.insert(0, _Finder())
