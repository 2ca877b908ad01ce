"""`ewallet serve`: the HTTP service."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ewallet.cli.uses_commands import use_logs
from ewallet.cli.verify_command import state_directory
from ewallet.errors import ConfigError, KeyMaterialError, MissingExtra
from ewallet.moments import day_of

if TYPE_CHECKING:
    from ewallet.keys import Signer
    from ewallet.verify.statistics import Statistics

_PASSWORD: str = "EWALLET_KEY_PASSWORD"  # noqa: S105 (name of a variable)


def _signer(file: Path | None) -> Signer | None:
    """The service's own verify key; its password comes from the environment, never from the command line."""
    if file is None:
        return None
    from ewallet.keys import SigningKey  # noqa: PLC0415

    password = os.environ.get(_PASSWORD)
    if password is None:
        raise ConfigError(f"set {_PASSWORD} to the password of the key", file=str(file))
    return SigningKey.load(file, password)


def _peer(text: str) -> tuple[str, str]:
    uri, separator, url = text.partition("=")
    if not separator or not url.startswith(("https://", "http://")):
        raise click.UsageError("--peer takes URI=URL, such as https://js.ewallet.example/=https://10.0.0.2/")
    return uri, url


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--trust",
    "bundle",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Gate bundle: a directory.",
)
@click.option("--policy", type=click.Path(path_type=Path), help="Policy; default: in the bundle.")
@click.option("--root", type=click.Path(path_type=Path), help="Pin the first root of the trust lists.")
@click.option("--state", type=click.Path(path_type=Path), help="What the service remembers.")
@click.option("--status", default="", help="Directory or mirror (URL) of status lists.")
@click.option("--guard", default="file", help="Replay guard: memory, file, or a Redis or SQL URL.")
@click.option("--name", default="", help="Name of this terminal, for its status bar.")
@click.option("--verify-key", type=click.Path(path_type=Path), help="Key to ask questions with.")
@click.option("--verify-as", default="", help="URI under which the lists name that key.")
@click.option("--receipts-key", type=click.Path(path_type=Path), help="Key to sign receipts with.")
@click.option("--objections-key", type=click.Path(path_type=Path), help="Key to sign objections with.")
@click.option("--record", is_flag=True, help="Write every verification down; receipts need it.")
@click.option(
    "--log", "uses", default="", metavar="PLACE", help="Write them there: a file or a PostgreSQL URL."
)
@click.option("--ratings", default="", help="Be the rating service: its file, or the URL of a database.")
@click.option("--rate-at", default="", help="URL of the rating service (key: EWALLET_RATING_KEY).")
@click.option("--issue", "agency", type=click.Path(path_type=Path), help="Issue too: an authority.toml.")
@click.option("--partners", type=click.Path(path_type=Path), help="File of partners (`ewallet partner`).")
@click.option("--open-counter", is_flag=True, help="The counter's calls need no key although others do.")
@click.option(
    "--client-certificate-header",
    "certificate_header",
    default="",
    metavar="NAME",
    help="Header in which the proxy puts a client certificate.",
)
@click.option(
    "--proxy",
    "proxies",
    multiple=True,
    default=("127.0.0.1", "::1"),
    show_default=True,
    metavar="ADDRESS",
    help="Address or network of a proxy in front.",
)
@click.option("--peer", "peers", multiple=True, metavar="URI=URL", help="Where another authority listens.")
@click.option("--bases", type=click.Path(path_type=Path), help="Legal bases for retrieval, TOML.")
@click.option("--quiet", is_flag=True, help="Log only calls that went wrong.")
@click.option("--shared-port", is_flag=True, help="Let several processes listen on the port.")
def serve(
    host: str,
    port: int,
    bundle: Path,
    policy: Path | None,
    root: Path | None,
    state: Path | None,
    status: str,
    guard: str,
    name: str,
    verify_key: Path | None,
    verify_as: str,
    receipts_key: Path | None,
    objections_key: Path | None,
    record: bool,  # noqa: FBT001 (a flag of the command line)
    uses: str,
    ratings: str,
    rate_at: str,
    agency: Path | None,
    partners: Path | None,
    open_counter: bool,  # noqa: FBT001 (a flag of the command line)
    certificate_header: str,
    proxies: tuple[str, ...],
    peers: tuple[str, ...],
    bases: Path | None,
    quiet: bool,  # noqa: FBT001 (a flag of the command line)
    shared_port: bool,  # noqa: FBT001 (same)
) -> int:
    """Serve the counter page and the HTTP API.

    Stops gracefully on SIGTERM: calls that have begun are answered.
    """
    try:
        from ewallet.service.proxies import check_proxies  # noqa: PLC0415 (an extra)
        from ewallet.service.serving import run  # noqa: PLC0415 (an extra)
    except ImportError as missing:
        raise MissingExtra("service", "the HTTP service") from missing
    from ewallet.service.settings import Settings  # noqa: PLC0415 (same)

    settings = Settings(
        bundle=bundle,
        state=state or state_directory(),
        policy=policy,
        root=root,
        status=status,
        guard=guard,
        name=name,
        signer=_signer(verify_key),
        issuer=verify_as,
        receipt_signer=_signer(receipts_key),
        objection_signer=_signer(objections_key),
        record=record or bool(uses) or receipts_key is not None,
        uses=uses,
        ratings=ratings,
        rating_service=rate_at,
        rating_key=os.environ.get("EWALLET_RATING_KEY", ""),
        agency=agency,
        partners=partners,
        open_counter=open_counter,
        certificate_header=certificate_header,
        proxies=proxies,
        peers=dict(_peer(each) for each in peers),
        bases=bases,
        log=not quiet,
    )
    try:
        check_proxies(proxies, certificate_header)
    except ValueError as error:
        raise click.UsageError(f"--proxy or --client-certificate-header: {error}") from error
    if partners is None and host not in ("127.0.0.1", "::1", "localhost"):
        raise click.UsageError("beyond this machine, name the API keys with --partners FILE")
    run(settings, host=host, port=port, shared_port=shared_port)
    return 0


@click.command()
@click.argument(
    "config", metavar="AUTHORITY.TOML", type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
def migrate(config: Path) -> int:
    """Bring the tables of an authority's register up to date: once, after a backup.

    It happens as a whole or not at all. Processes that run go on; older versions are refused afterwards.
    """
    from ewallet.licenses import tables  # noqa: PLC0415 (loads the register)
    from ewallet.licenses.deployment import Deployment  # noqa: PLC0415 (same)
    from ewallet.licenses.register import Register  # noqa: PLC0415 (same)

    Register.open(Deployment.load(config).register, migrate=True).close()
    print(f"tables of version {tables.HEAD}")
    return 0


@click.group()
def partner() -> None:
    """Let partners in and out: API keys and client certificates of the service."""


_FILE = click.option("--file", type=click.Path(path_type=Path), required=True, help="File of partners.")


@partner.command()
@click.argument("name")
@_FILE
@click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    type=click.Choice(["issuer", "verifier", "auditor", "administrator"]),
)
@click.option("--entity", default="", help="URI under which the trust lists name it.")
@click.option("--rate", default=600, show_default=True, help="Calls in a minute.")
@click.option(
    "--certificate",
    "certificates",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Client certificate, PEM or DER, instead of a key; two while one replaces the other.",
)
@click.option("--with-key", is_flag=True, help="A key beside the certificate: each call needs both.")
@click.option(
    "--attests-second-officer",
    "attests",
    is_flag=True,
    help="Its own system has a second officer confirm: `second_operator` of its calls counts.",
)
def add(
    name: str,
    file: Path,
    roles: tuple[str, ...],
    entity: str,
    rate: int,
    certificates: tuple[Path, ...],
    with_key: bool,  # noqa: FBT001 (a flag of the command line)
    attests: bool,  # noqa: FBT001 (same)
) -> int:
    """Add a partner and print its key, once; for a certificate, its SHA-256."""
    from ewallet.service.doors import Role, add_partner  # noqa: PLC0415 (an extra)

    digests = [_certificate(each) for each in certificates]
    if len(set(digests)) < len(digests):
        raise click.UsageError("one certificate twice")
    if attests and "issuer" not in roles:
        raise click.UsageError("--attests-second-officer is for the role issuer")
    key = add_partner(
        file,
        name=name,
        roles=[Role(each) for each in roles],
        entity=entity,
        rate=rate,
        certificates=digests,
        with_key=with_key or not digests,
        attests_second_officer=attests,
    )
    for shown in (key, *digests):
        if shown:
            print(shown)
    return 0


def _certificate(file: Path) -> str:
    """Digest of a certificate that is valid now."""
    from ewallet.service.proxies import read_certificate  # noqa: PLC0415 (an extra)

    try:
        found = read_certificate(file.read_bytes())
    except KeyMaterialError as error:
        raise ConfigError(str(error), file=str(file)) from error
    if datetime.now(UTC) > found.end:
        raise ConfigError("this certificate has expired", file=str(file))
    return found.digest


@partner.command()
@click.argument("name")
@_FILE
def remove(name: str, file: Path) -> int:
    """Remove a partner: its key and certificates open nothing within half a minute."""
    from ewallet.service.doors import remove_partner  # noqa: PLC0415 (an extra)

    remove_partner(file, name)
    return 0


@partner.command("list")
@_FILE
def list_(file: Path) -> int:
    """List partners: roles, entity, calls in a minute, key or certificates."""
    from ewallet.service.doors import load_partners  # noqa: PLC0415 (an extra)

    for each in sorted(load_partners(file), key=lambda one: one.name):
        known_by = [*(["key"] if each.digest else []), *(one[:16] for one in each.certificates)]
        roles = [*sorted(each.roles), *(["attests-second-officer"] if each.attests_second_officer else [])]
        shown = ",".join(roles), each.entity or "-", each.rate, ",".join(known_by)
        print(each.name, *shown, sep="\t")
    return 0


@click.command()
@click.option(
    "--issue", "agency", type=click.Path(path_type=Path), help="An authority.toml: its events and uses."
)
@click.option("--log", "logs", multiple=True, callback=use_logs, metavar="PLACE", help="A log of uses.")
@click.option("--ratings", default="", help="The rating service's file, or the URL of its database.")
@click.option("--venue", "venues", multiple=True, help="Venue whose ratings are shown.")
@click.option("--check", is_flag=True, help="Compare paper with electronic copies, for the consistency rate.")
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="First day; default: 30 days ago.")
@click.option("--until", "last", type=click.DateTime(["%Y-%m-%d"]), help="Last day; default: today.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a page, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def stats(
    agency: Path | None,
    logs: tuple[str, ...],
    ratings: str,
    venues: tuple[str, ...],
    check: bool,  # noqa: FBT001 (a flag of the command line)
    first: datetime | None,
    last: datetime | None,
    html: Path | None,
    as_json: bool,  # noqa: FBT001 (same)
) -> int:
    """Figures per matter, authority and day: waived share, uses, delays, corrections, ratings."""
    from ewallet.verify.statistics import HEADS, Statistics, shown  # noqa: PLC0415 (loads the register)

    now = datetime.now(UTC)
    until = last.date() if last else day_of(now)
    found = Statistics(first=first.date() if first else until - timedelta(days=30), last=until)
    if agency is not None:
        _add_agency(found, agency, now, check=check)
    for place in logs:
        from ewallet.verify.receipts import UseLog  # noqa: PLC0415 (only with a log)

        with UseLog(place) as log:
            found.add_log(log.records())
    if ratings:
        if "://" not in ratings and not Path(ratings).is_file():
            raise ConfigError("there is no such file", file=ratings)
        from ewallet.verify.ratings import RatingService  # noqa: PLC0415 (only with ratings)

        with RatingService(ratings) as service:
            cases = [case for venue in venues for case in service.cases(venue)]
            found.add_ratings([service.totals(venue) for venue in venues], cases)
    if html is not None:
        html.write_text(found.to_html(), encoding="utf-8")
    if as_json:
        print(json.dumps(found.to_json(), ensure_ascii=False))
        return 0
    print("\t".join(HEADS))
    for row in found.table():
        print("\t".join(shown(row[key]) for key in HEADS))
    return 0


def _add_agency(found: Statistics, agency: Path, now: datetime, *, check: bool) -> None:
    from ewallet.licenses.deployment import Deployment  # noqa: PLC0415 (loads the register)
    from ewallet.licenses.reconcile import reconcile  # noqa: PLC0415 (same)
    from ewallet.licenses.register import Register  # noqa: PLC0415 (same)
    from ewallet.licenses.sharing import UseLog  # noqa: PLC0415 (same)

    deployment = Deployment.load(agency)
    with Register.open(deployment.register) as register:
        found.add_register(register, deployment.authority.uri)
        found.add_shared(UseLog(register).since(0), deployment.authority.uri)
    if check:
        found.add_consistency(
            reconcile(deployment.register, now=now, findings=lambda _: None, catalog=deployment.catalog)
        )
