"""Runs modules as ``python -m MODULE ARGUMENTS`` does, each in a fork of a process that has imported much.

A line on stdin asks for a run, a line on stdout says how it ended::

    {"folder": "/where", "arguments": ["pytest", "--version"]}
    {"status": 0, "said": "pytest 9.2.0\\n"}
"""

import importlib
import json
import os
import runpy
import signal
import sys
import tempfile
import traceback

IMPORTED = (
    "pytest", "httpx", "jinja2", "jsonschema", "matplotlib.backends.backend_svg", "numpy",
    "openai_harmony", "rouge_score.rouge_scorer", "pytest_gptoss.cli.main", "pytest_gptoss.plugin.session",
    "pytest_gptoss.run.engine", "pytest_gptoss.report.formats.html",
)  # fmt: skip
"""What most runs import; alone, each would take seconds for it."""
LONGEST_S = 280
"""Seconds after which a run is killed."""


def main():
    for name in IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(_run(**json.loads(line))), flush=True)


def _run(folder, arguments):
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        child = os.fork()
        if child == 0:
            _become(folder, arguments, output)
        _, ended = os.waitpid(child, 0)
        output.seek(0)
        return {"status": os.waitstatus_to_exitcode(ended), "said": output.read()}


def _become(folder, arguments, output):
    """Run the module in this process and end it."""
    status = 1
    try:
        signal.alarm(LONGEST_S)
        os.chdir(folder)
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        sys.argv = list(arguments)
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
