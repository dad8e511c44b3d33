"""The command table, and the one place where errors become a line on stderr and an exit status."""

from __future__ import annotations

import errno
import logging
import os
import sys
from typing import Annotated, NoReturn

import typer

import bioner_fast
from bioner_fast.errors import BionerError, UsageError, describe_os_error
from bioner_fast.interruption import deliver_lost_interrupts

app = typer.Typer(
    name="bioner-fast",
    help="Train and run fast biomedical named-entity recognisers.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"bioner-fast {bioner_fast.__version__}")  # noqa: T201
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Train and run fast biomedical named-entity recognisers.

    Every command takes --debug, which shows the traceback of an error.
    """


def _register() -> None:
    """Add every command. Command modules import only typer at the top; the work is imported when it runs."""
    from bioner_fast.cli import (
        benchmark,
        compare,
        convert,
        data,
        evaluate,
        experiment,
        info,
        models,
        pretrain,
        serve,
        silver,
        tag,
        train,
        vectors,
    )

    for command in (
        train, pretrain, silver, evaluate, tag, serve, convert, data, vectors, experiment, compare, benchmark,
        models, info,
    ):  # fmt: skip
        command.register(app)


def main(argv: list[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 2 wrong usage, 1 anything else, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_closed_streams()
    deliver_lost_interrupts()
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    status = run(arguments, debug=debug)
    try:
        sys.stdout.flush()
    except OSError as error:  # Python would tell it at its end, in lines of its own
        if status == 0 and not isinstance(error, BrokenPipeError):
            status = _fail(_describe(error), 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(status)


def _open_closed_streams() -> None:
    """Put something in the place of standard streams that whoever called us has closed.

    Else their numbers would go to the next files that are opened. What is put there cannot be read (input) or
    written (output), as what is closed; what is told on stderr goes nowhere.
    """
    for number, name, way, mode in (
        (0, "stdin", os.O_WRONLY, "r"),
        (1, "stdout", os.O_RDONLY, "w"),
        (2, "stderr", os.O_WRONLY, "w"),
    ):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, way)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _describe(error: OSError) -> str:
    if error.errno == errno.EBADF and error.filename is None:
        return "standard input or output is closed; name a file instead"
    return describe_os_error(error)


def run(arguments: list[str], *, debug: bool = False) -> int:
    """Run one command and return its exit status; with ``debug``, exceptions pass through."""
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    # What other libraries tell at this level is not for users.
    logging.getLogger("bioner_fast").setLevel(logging.INFO)
    try:
        status = app(arguments, prog_name="bioner-fast", standalone_mode=False)
        if status == 130:  # Typer's status for Ctrl-C, of which it says nothing
            return _fail("interrupted", 130)
        return status if isinstance(status, int) else 0
    except typer.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", 130)
    except typer.TyperException as error:  # wrong options and arguments
        if debug:
            raise
        if type(error).__name__ == "NoArgsIsHelpError":  # a group alone: its help, as it is laid out
            print(error.format_message(), file=sys.stderr)  # noqa: T201
            return 2
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context is not None else ""
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        return _fail(f"{message}{hint}", getattr(error, "exit_code", 2))
    except (BrokenPipeError, SystemExit) as error:
        # The reader of our output went away (``| head``): not an error, and nothing more can be written.
        # (Typer turns it into an exit with status 1.)
        if not isinstance(error, BrokenPipeError) and not isinstance(error.__context__, BrokenPipeError):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except UsageError as error:
        if debug:
            raise
        return _fail(str(error), 2)
    except OSError as error:
        if debug:
            raise
        return _fail(_describe(error), 1)
    except (BionerError, MemoryError) as error:
        if debug:
            raise
        return _fail(str(error) or type(error).__name__, 1)
    except Exception as error:
        if debug:
            raise
        return _fail(
            f"internal error: {type(error).__name__}: {error} (run again with --debug for the traceback)", 1
        )


def _fail(message: str, status: int) -> int:
    print("bioner-fast: " + " ".join(message.split()), file=sys.stderr)  # noqa: T201
    return status


_register()
