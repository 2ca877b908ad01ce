"""`ewallet catalog` and `ewallet issue`: types of license, and licenses from an agency's export."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ewallet.cli.exits import Exit, report
from ewallet.errors import ConfigError

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar


@click.group()
def catalog() -> None:
    """List, show, check and export license types."""


_TYPES = click.option(
    "--types",
    "directories",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A directory of further types (TOML); may be given several times.",
)


@catalog.command("list")
@_TYPES
def list_types(directories: tuple[Path, ...]) -> int:
    """List all types: short name, code, name, fields."""
    from ewallet.licenses.catalog import Catalog  # noqa: PLC0415 (loaded when needed)

    for item in Catalog.load(*directories):
        mark = " (code assumed)" if item.assumed_code else ""
        print(f"{item.key:32} {item.code:22} {item.zh}  {item.en}{mark}  {len(item.fields)} fields")
    return Exit.ACCEPTED


@catalog.command("show")
@click.argument("name", metavar="TYPE")
@click.option(
    "--as",
    "form",
    type=click.Choice(["text", "json-schema", "vct"]),
    default="text",
    help="Text, the JSON Schema of records, or the type metadata of SD-JWT VC.",
)
@click.option("--base", default="https://ewallet.example", help="URI of the deployment, for vct.")
@_TYPES
def show_type(name: str, form: str, base: str, directories: tuple[Path, ...]) -> int:
    """Show one type: its fields in the order of the face, rules, and how it is printed."""
    from ewallet.licenses.catalog import Catalog  # noqa: PLC0415 (loaded when needed)
    from ewallet.licenses.type_export import describe, json_schema, type_metadata  # noqa: PLC0415

    item = Catalog.load(*directories)[name]
    if form == "json-schema":
        print(json.dumps(json_schema(item), ensure_ascii=False, indent=2))
    elif form == "vct":
        print(json.dumps(type_metadata(item, base=base), ensure_ascii=False, indent=2))
    else:
        print(describe(item))
    return Exit.ACCEPTED


@catalog.command("check")
@click.argument(
    "directories",
    metavar="DIRECTORY...",
    nargs=-1,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
)
def check_types(directories: tuple[Path, ...]) -> int:
    """Check directories of types together with the built-in ones; names file, line and reason."""
    from ewallet.licenses.catalog import Catalog  # noqa: PLC0415 (loaded when needed)

    try:
        types = Catalog.load(*directories)
    except ConfigError as error:
        return report(str(error), "see docs/guides/issuing-authority.md, license types", Exit.REJECTED)
    print(f"{len(types)} types, all right")
    return Exit.ACCEPTED


@click.command()
@click.argument("export", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--type", "type_name", required=True, help="Short name or code of the license type.")
@click.option(
    "--config",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The deployment's file: register, keys, authority.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="For the results."
)
@click.option("--print", "printed", is_flag=True, help="Order one printed original with each license.")
@click.option("--operator", default="", help="Who runs the job.")
@click.option("--stock-column", default="", help="Header of the column with the number of existing paper.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes.")
@click.option(
    "--publish", type=click.Path(path_type=Path, file_okay=False), help="Publish status lists there."
)
def issue(
    *,
    export: Path,
    type_name: str,
    config: Path,
    out: Path,
    printed: bool,
    operator: str,
    stock_column: str,
    workers: int,
    publish: Path | None,
) -> int:
    """Issue licenses from an agency's EXPORT (CSV or JSON Lines).

    Bad rows are reported in rejects.csv and stop nothing else. A job that was interrupted is run again and
    goes on where it was: no license is made twice. Exit 1 if rows were rejected.
    """
    from ewallet.licenses import bulk  # noqa: PLC0415 (loaded when needed)
    from ewallet.licenses.deployment import Deployment  # noqa: PLC0415
    from ewallet.licenses.printed import PrintOrder  # noqa: PLC0415

    now = datetime.now(UTC)
    order = PrintOrder() if printed else None
    issuer = Deployment.load(config).open()
    bar: ProgressBar[int] = click.progressbar(
        length=_rows(export), label=type_name, show_pos=True, file=sys.stderr
    )
    with issuer.register, bar:
        if workers == 1:
            summary = bulk.run(
                issuer,
                export,
                type=type_name,
                out=out,
                now=now,
                printed=order,
                operator=operator,
                stock_column=stock_column,
                progress=bar.update,
            )
        else:
            summary = bulk.run_parallel(
                config,
                export,
                type=type_name,
                out=out,
                now=now,
                workers=workers,
                printed=order,
                operator=operator,
                stock_column=stock_column,
                progress=bar.update,
            )
        if publish is not None:
            issuer.register.publish_status(publish, issuer.status_signer, now=now)
    took = (datetime.now(UTC) - now).total_seconds()
    rate = (summary.issued + summary.again + summary.rejected) / took if took else 0
    print(f"issued    {summary.issued}")
    print(f"again     {summary.again}")
    print(f"rejected  {summary.rejected}")
    print(f"rate      {rate:.0f} rows a second")
    print(f"results   {out / bulk.RESULTS}")
    print(f"rejects   {out / bulk.REJECTS}")
    return Exit.REJECTED if summary.rejected else Exit.ACCEPTED


def _rows(export: Path) -> int:
    """About how many rows there are: line ends, for the bar."""
    with export.open("rb") as stream:
        lines = sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1 << 20), b""))
    return max(lines - (0 if export.name.endswith(".jsonl") else 1), 1)
