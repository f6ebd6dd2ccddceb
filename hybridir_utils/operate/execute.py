"""Child process of the suite: `python -m hybridir_utils.operate.execute NOTEBOOK OUTPUT PARAMETERS_AS_JSON`."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

from .cells import ENGINE, register_engine

KERNEL_DIED = 3  # exit status


def main(notebook: str, output: str, parameters: str) -> int:
    """Execute with papermill, cells saved as they end; 1 when a cell fails (the suite reads the error from the copy)."""
    sys.modules.setdefault("rfc3987_syntax", None)  # optional to jsonschema, for URLs no notebook has; it makes a grammar, 2 s each time
    import papermill
    from nbclient.exceptions import DeadKernelError

    end_with_parent()
    register_engine()
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    try:
        papermill.execute_notebook(
            notebook,
            output,
            json.loads(parameters),
            engine_name=ENGINE,
            cwd=str(Path(notebook).parent),
            progress_bar=False,
            log_output=False,
            notebook=Path(notebook).stem,
        )
    except papermill.PapermillExecutionError:
        return 1
    except DeadKernelError:
        return KERNEL_DIED
    finally:
        _drop_progress(Path(output))
    return 0


def _drop_progress(path: Path) -> None:
    """Take the progress bars, which papermill keeps line by line, out of the executed copy."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell["cell_type"] == "code":
            cell["outputs"] = [output for output in cell["outputs"] if not (output.get("name") == "stderr" and "\r" in output["text"])]
    nbformat.write(notebook, path)


def end_with_parent() -> None:
    """When the process that started this one is killed, this one ends too, and its children with it, so that the next suite works alone."""
    threading.Thread(target=_watch, args=[os.getppid()], daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
