"""What ``hythe test`` tells: to people, to programs, and as JUnit's XML."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from xml.etree import ElementTree

from hythe.cli.context import Cli
from hythe.cli.testing.runner import ERROR, FAIL, PASS, SKIP, FileResult, RunResult
from hythe.diagnostic import Diagnostic

_COLORS = {PASS: "green", FAIL: "red", ERROR: "red", SKIP: "yellow"}


class HumanReport:
    """Lines as OpenTofu writes them."""

    def __init__(self, cli: Cli) -> None:
        self.cli = cli

    def tell(self, step: str, file: FileResult, run: RunResult | None) -> None:
        """See :data:`~hythe.cli.testing.runner.Tell`."""
        say, paint = self.cli.say, self.cli.out.paint
        if step == "begin":
            say(f"{file.name}... in progress")
        elif step == "run" and run is not None:
            say(f'  run "{run.name}"... {paint(run.status, _COLORS[run.status])}')
            self.cli.report(run.diagnostics)
        elif step == "teardown":
            say(f"{file.name}... tearing down")
        else:
            say(f"{file.name}... {paint(file.status, _COLORS[file.status])}")
            self.cli.report(file.diagnostics)

    def end(self, files: Sequence[FileResult]) -> None:
        """The sum of it."""
        found = counts(files)
        failed = found[FAIL] + found[ERROR]
        fine = all(f.status == PASS for f in files)
        word = self.cli.out.paint("Success!" if fine else "Failure!", "bold", "green" if fine else "red")
        skipped = f", {found[SKIP]} skipped" if found[SKIP] else ""
        self.cli.say(f"\n{word} {found[PASS]} passed, {failed} failed{skipped}.")


class JsonReport:
    """One JSON object a line, in OpenTofu's terms."""

    def __init__(self, cli: Cli) -> None:
        self.cli = cli

    def tell(self, step: str, file: FileResult, run: RunResult | None) -> None:
        """See :data:`~hythe.cli.testing.runner.Tell`."""
        if step == "run" and run is not None:
            told = {"path": file.name, "run": run.name, "status": run.status, "elapsed": round(run.seconds * 1000)}
            self._write("test_run", f'"{run.name}"... {run.status}', {"test_run": told})
            self._diagnostics(run.diagnostics)
        elif step == "end":
            self._write("test_file", f"{file.name}... {file.status}", {"test_file": _file(file)})
            self._diagnostics(file.diagnostics)

    def end(self, files: Sequence[FileResult]) -> None:
        """The sum of it."""
        found = counts(files)
        status = PASS if all(f.status == PASS for f in files) else FAIL
        told = {"status": status, **{s: found[s] for s in (PASS, FAIL, ERROR, SKIP)}}
        self._write("test_summary", f"{found[PASS]} passed, {found[FAIL] + found[ERROR]} failed.", {"summary": told})

    def _diagnostics(self, diagnostics: Sequence[Diagnostic]) -> None:
        from hythe.cli.context import sources_for
        from hythe.cli.views.json_diagnostics import diagnostic_json

        for diagnostic in diagnostics:
            told = diagnostic_json(diagnostic, sources_for(self.cli))
            self._write("diagnostic", diagnostic.summary, {"diagnostic": told})

    def _write(self, sort: str, message: str, more: dict[str, object]) -> None:
        line = {"@level": "info", "@message": message, "@module": "hythe.test", "type": sort, **more}
        self.cli.say(json.dumps(line, ensure_ascii=False))


def _file(file: FileResult) -> dict[str, str]:
    return {"path": file.name, "status": file.status}


def counts(files: Sequence[FileResult]) -> Counter[str]:
    """How many runs passed, failed, ended in an error, were skipped."""
    return Counter(run.status for file in files for run in file.runs)


def junit(files: Sequence[FileResult]) -> bytes:
    """The results as JUnit's XML: a suite per file, a case per run."""
    root = ElementTree.Element("testsuites")
    for file in files:
        found = counts([file])
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=file.name,
            tests=str(len(file.runs)),
            failures=str(found[FAIL]),
            errors=str(found[ERROR] + (1 if file.diagnostics else 0)),
            skipped=str(found[SKIP]),
            time=f"{sum(r.seconds for r in file.runs):.3f}",
        )
        for run in file.runs:
            case = ElementTree.SubElement(
                suite, "testcase", name=run.name, classname=file.name, time=f"{run.seconds:.3f}"
            )
            if run.status == SKIP:
                ElementTree.SubElement(case, "skipped")
            elif run.status != PASS:
                sort = "failure" if run.status == FAIL else "error"
                _problem(case, sort, run.diagnostics)
        if file.diagnostics:
            case = ElementTree.SubElement(suite, "testcase", name="(tear-down)", classname=file.name)
            _problem(case, "error", file.diagnostics)
    ElementTree.indent(root)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _problem(case: ElementTree.Element, sort: str, diagnostics: Sequence[Diagnostic]) -> None:
    first = diagnostics[0].summary if diagnostics else sort
    made = ElementTree.SubElement(case, sort, message=first)
    made.text = "\n".join(f"{d.range or ''} {d.summary}: {d.detail}".strip() for d in diagnostics)
