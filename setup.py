"""Puts what the package reads of the checkout into a wheel, below `hybridir_utils/carried`; all else stands in pyproject.toml.

Catalogues, world facts, published numbers and profiles stay where a reader of the repository looks for them; `base.files.ROOT` is the one
place that knows of both.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

CARRIED = ("data/*.toml", "data/README.md", "data/worldfacts/**/*.toml", "data/published/*.csv", "notebooks/profiles/*.toml")


class BuildWithCarried(build_py):
    """`build_py`, and a copy of the carried files; an editable installation reads them in the checkout."""

    def run(self):
        super().run()
        for path, copy in self._carried().items():
            self.mkpath(str(Path(copy).parent))
            self.copy_file(path, copy, preserve_mode=False)

    def get_outputs(self, include_bytecode=True):
        return [*super().get_outputs(include_bytecode), *self._carried().values()]

    def get_source_files(self):
        return [*super().get_source_files(), *self._carried()]  # so that a source distribution has them, too

    def _carried(self) -> dict[str, str]:
        """File of the checkout -> its copy in the wheel."""
        if self.editable_mode:
            return {}
        target = Path(self.build_lib) / "hybridir_utils" / "carried"
        return {str(path): str(target / path) for pattern in CARRIED for path in sorted(Path().glob(pattern))}


setup(cmdclass={"build_py": BuildWithCarried})
