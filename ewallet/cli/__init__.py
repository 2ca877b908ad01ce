"""The `ewallet` command: small, fast, and every command loaded only when it is called."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final

import click

from ewallet import __version__
from ewallet.cli.exits import Exit, report
from ewallet.errors import EwalletError

_COMMANDS: Final[dict[str, tuple[str, str, str]]] = {
    "demo": ("ewallet.cli.demo", "demo", "Run the main job end to end and write its files."),
    "keygen": ("ewallet.cli.basic_commands", "keygen", "Make a signing key, saved encrypted."),
    "inspect": (
        "ewallet.cli.basic_commands",
        "inspect",
        "Show what a code or credential says. NOT a verification.",
    ),
    "speed": ("ewallet.cli.speed_command", "speed", "Measure what signing and verifying cost here."),
    "verify": ("ewallet.cli.verify_command", "verify", "Verify a code, picture, PDF or credential."),
    "issue": ("ewallet.cli.license_commands", "issue", "Issue licenses from an agency's export."),
    "catalog": ("ewallet.cli.license_commands", "catalog", "List, show and check license types."),
    "code": ("ewallet.cli.code_commands", "code", "Passes; rotating, paper, display and supply codes."),
    "gate": ("ewallet.cli.code_commands", "gate", "Run a gate: one line of JSON for each decision."),
    "print": ("ewallet.cli.printed_commands", "print_", "Print a copy of a license."),
    "compare": ("ewallet.cli.printed_commands", "compare", "Compare two copies of a license."),
    "recall": ("ewallet.cli.printed_commands", "recall", "List and mark copies to take back."),
    "reconcile": (
        "ewallet.cli.printed_commands",
        "reconcile",
        "Compare the register with itself or an export.",
    ),
    "stock": ("ewallet.cli.printed_commands", "stock", "Hand out and account for security paper."),
    "migrate": ("ewallet.cli.service_commands", "migrate", "Bring a register's tables up to date."),
    "partner": ("ewallet.cli.service_commands", "partner", "Give out API keys of the service."),
    "serve": ("ewallet.cli.service_commands", "serve", "Serve the counter page and the HTTP API."),
    "example": ("ewallet.cli.example_command", "example", "Serve an example town with both pages, to try."),
    "doctor": ("ewallet.cli.doctor_command", "doctor", "Check clock, lists, keys and optional parts."),
    "uses": ("ewallet.cli.uses_commands", "uses", "Check the log of uses; end what is over."),
    "matter": ("ewallet.cli.matter_commands", "matter", "What a service needs, and what waives it."),
    "stats": ("ewallet.cli.service_commands", "stats", "Figures per matter, authority and day."),
    "conformance": (
        "ewallet.cli.trust_commands",
        "conformance",
        "Put the shipped cases to a partner's program or endpoint.",
    ),
    "trust": ("ewallet.cli.trust_commands", "trust", "Make, sign, publish and check trust lists."),
}
"""Name: module, attribute, one line of help. The line stands here so that `--help` loads nothing."""


class _Lazy(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in _COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ewallet")
def cli() -> None:
    """Electronic licenses and rotating identity codes."""


def main() -> None:
    """Run the command; errors become `error:` and `hint:` lines and an exit code."""
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        hint = ""
        if isinstance(error, click.UsageError) and error.ctx is not None:
            hint = f"see '{error.ctx.command_path} --help'"
        sys.exit(report(error.format_message(), hint, Exit.USAGE))
    except click.Abort:
        sys.exit(report("stopped", "", Exit.ENVIRONMENT))
    except EwalletError as error:
        sys.exit(report(str(error), getattr(error, "hint", ""), Exit.ENVIRONMENT))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(Exit.ENVIRONMENT)
    except OSError as error:
        sys.exit(
            report(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), "", Exit.ENVIRONMENT)
        )
    sys.exit(code if isinstance(code, int) else Exit.ACCEPTED)
