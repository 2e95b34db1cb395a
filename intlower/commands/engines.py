"""Where jobs run, as options of the commands that have many."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from intlower.jobs import Engine


def engine_options(
    jobs: int, jobs_help: str, shown: bool | str = True
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what adds `--jobs`, `--engine` and `--scheduler`.

    Args:
        jobs: how many run at once by default.
        jobs_help: what `--jobs` says of itself.
        shown: the default as `--help` shows it.
    """

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        command = click.option(
            "--scheduler", metavar="ADDRESS", help="Of the Dask cluster, as tcp://HOST:PORT."
        )(command)
        command = click.option(
            "--engine",
            type=click.Choice(["local", "dask"]),
            default="local",
            show_default=True,
            help="Where jobs run: processes of this machine, or a Dask cluster.",
        )(command)
        return click.option(
            "--jobs",
            type=click.IntRange(min=1),
            default=jobs,
            show_default=shown,
            help=jobs_help,
        )(command)

    return add


def named_engine(name: str, scheduler: str | None, jobs: int) -> Engine:
    """Return the engine that the options name.

    Args:
        name: of the kind: "local" or "dask".
        scheduler: address of the cluster, for the latter.
        jobs: how many run at once, for the former.

    Raises:
        click.UsageError: the options contradict each other, or a package is missing.
    """
    if name == "local":
        if scheduler is not None:
            raise click.UsageError(
                "--scheduler belongs to --engine dask", click.get_current_context()
            )
        from intlower.jobs.local import LocalEngine

        return LocalEngine(workers=jobs)
    if scheduler is None:
        raise click.UsageError(
            "--engine dask needs --scheduler tcp://HOST:PORT", click.get_current_context()
        )
    try:
        from intlower.jobs.cluster import DaskEngine
    except ImportError:
        raise click.UsageError(
            "--engine dask needs the package distributed: pip install 'intlower[dask]'",
            click.get_current_context(),
        ) from None
    return DaskEngine(scheduler=scheduler)
