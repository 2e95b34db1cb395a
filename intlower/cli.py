"""The command line: `intlower COMMAND`. Each command is one file of `intlower/commands/`."""

from __future__ import annotations

import difflib
import sys
import traceback
from typing import Any, NoReturn

import click

from intlower.commands.ablate import ablate
from intlower.commands.bench import bench
from intlower.commands.compare import compare
from intlower.commands.compile import compile_model
from intlower.commands.demo import demo
from intlower.commands.evaluate import evaluate
from intlower.commands.export import export
from intlower.commands.inspect import inspect
from intlower.commands.options import examples
from intlower.commands.simulate import simulate
from intlower.commands.synthesize import synthesize
from intlower.commands.targets import targets
from intlower.commands.vectors import vectors
from intlower.commands.verify import verify
from intlower.failures import INTERRUPTED, describe
from intlower.terminal import print_error, print_json


class CommandLine(click.Group):
    """A group of commands whose every failure is one `error:` line, one `hint:` line and an exit code."""

    def main(self, args: Any = None, *_: Any, **extra: Any) -> NoReturn:
        """Run the command line and leave the process."""
        arguments = list(sys.argv[1:] if args is None else args)
        # Read from the words themselves: a command line that does not parse has no options yet.
        as_json, with_traceback = "--json" in arguments, "--traceback" in arguments
        extra |= {"prog_name": "intlower", "standalone_mode": False}
        try:
            code = super().main(arguments, **extra)
        except (click.Abort, KeyboardInterrupt):
            click.echo("interrupted", err=True)
            sys.exit(INTERRUPTED)
        except Exception as error:
            if with_traceback:
                traceback.print_exception(error)
            failure = describe(error)
            print_error(failure.message, failure.hint)
            if as_json:
                print_json(failure.document())
            sys.exit(failure.exit_code)
        sys.exit(code if isinstance(code, int) else 0)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they are used."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the words name; suggest the closest where there is none."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            close = difflib.get_close_matches(name, self.commands, 1)
            meant = f", did you mean '{close[0]}'?" if close else ""
            raise click.UsageError(f"no such command: '{name}'{meant}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=CommandLine,
    no_args_is_help=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "intlower demo",
        "intlower compile model.onnx --target tensorrt",
        "intlower verify model.tensorrt.onnx",
        "intlower evaluate model.tensorrt.onnx --data test.npz --float model.onnx",
    ),
)
@click.version_option(package_name="intlower")
@click.option(
    "--traceback",
    "with_traceback",
    is_flag=True,
    help="Show Python's traceback of an error, for reports.",
)
@click.pass_context
def main(context: click.Context, with_traceback: bool) -> None:
    """Compile a trained CNN to the exact integer arithmetic of a chip, run it, prove every bit."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for _command in (
    targets,
    compile_model,
    synthesize,
    simulate,
    verify,
    evaluate,
    ablate,
    compare,
    inspect,
    vectors,
    export,
    bench,
    demo,
):
    main.add_command(_command)


if __name__ == "__main__":
    main()
