"""``hythe test``."""

from __future__ import annotations

import os

import click

from hythe.cli import options
from hythe.cli.arguments import Command
from hythe.cli.context import FAILED, FINE, Cli, fail
from hythe.cli.sources import require_folder
from hythe.cli.workspace import Workspace


@click.command(cls=Command)
@click.option("--filter", "wanted", multiple=True, metavar="FILE", help="Only this test file.")
@click.option("--test-directory", "directory", default="tests", metavar="DIR", help="Where else test files are.")
@click.option("--junit-xml", "junit_path", metavar="PATH", help="Write the results as JUnit XML too.")
@options.variables
@options.parallelism
@options.json_output
@options.no_color
@click.pass_obj
def command(
    cli: Cli,
    /,
    *,
    wanted: tuple[str, ...],
    directory: str,
    junit_path: str | None,
    parallelism: int,
    json: bool,
    no_color: bool,
    **unused: object,
) -> int:
    """Run the tests of a configuration: *.test.hcl here and in tests/."""
    from hythe.cli.testing import files as test_files
    from hythe.cli.testing.report import HumanReport, JsonReport, junit
    from hythe.cli.testing.runner import PASS, FileResult, results

    require_folder(cli)
    workspace = Workspace(cli)
    config = workspace.config()
    names = test_files.find(cli.root, directory, wanted)
    if not names:
        where = "here" if directory == "." else f"here or in {directory}/"
        text = f"There are no test files ({', '.join('*' + s for s in test_files.SUFFIXES)}) {where}."
        raise fail("No test files", text if not wanted else f"{text} Of that name: {', '.join(wanted)}.")
    loaded = [test_files.load(cli.root, name) for name in names]
    problems = [d for _, found in loaded for d in found]
    report = JsonReport(cli) if json else HumanReport(cli)
    if any(d.is_error for d in problems):
        cli.report(problems)
        return FAILED
    done: list[FileResult] = []
    for result in results(
        cli, config, [file for file, _ in loaded], options.inputs_in_order(), report.tell, parallelism
    ):
        done.append(result)
    report.end(done)
    if junit_path is not None:
        path = os.path.join(cli.root, os.path.expanduser(junit_path))
        try:
            with open(path, "wb") as file:
                file.write(junit(done))
        except OSError as failure:
            raise fail("Report not written", f"{path} cannot be written: {failure.strerror}.") from None
    return FINE if all(f.status == PASS for f in done) else FAILED
