"""`assay keys`: who may ask a running service for what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer

from assay import settings as configuration
from assay.access.keys import SCOPES, Key, KeyFile, Scope
from assay.cli.options import JsonOption, StoreOption
from assay.cli.output import app, result, say
from assay.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["create", "revoke", "show"]

keys: Final = typer.Typer(
    name="keys",
    help="API keys: make one, list them, revoke one. A running service takes a change up within 2 s.",
    no_args_is_help=True,
)
app.add_typer(keys)


@keys.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Whose it is: the source of what is sent with it.", metavar="NAME")],
    *,
    scope: Annotated[
        list[str] | None, typer.Option(help="collect, read or admin (all). May be repeated.", metavar="S")
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it, this once: only its hash is kept."""
    unknown = next((each for each in scope or () if each not in SCOPES), None)
    if unknown is not None or not scope:
        what = "a scope is missing" if unknown is None else f"{unknown} is no scope"
        raise UsageError(
            f"{what}: --scope collect (send events), read (contracts, profiles, quarantine, /ui) or admin (all) is expected"
        )
    settings = configuration.load(store=store)
    file = KeyFile(settings.keys_path)
    before = file.read() or ()
    key, text = file.create(name, cast("list[Scope]", scope))
    result(text, key.to_document() | {"key": text}, as_json=as_json)
    say(
        f"{key.name} ({key.id}), for {' and '.join(key.scopes)}. This is the only time that it is shown. "
        "It is sent as Authorization: Bearer KEY; commands send the one in ASSAY_API_KEY"
    )
    if not any(each.revoked_at is None for each in before):
        say(
            f"it is the first one in {settings.keys_path}: from now on the service asks for a key, "
            "also of programs on this machine (but at /, /readyz and /metrics)"
        )
    twins = [each for each in before if each.name == name and each.revoked_at is None]
    if twins:
        ids = ", ".join(each.id for each in twins)
        say(f"another key has this name ({ids}): `assay keys revoke ID` when nobody uses it any more")


@keys.command("list")
def show(
    *,
    every: Annotated[bool, typer.Option("--all", help="Those that were revoked, too.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the keys: their ids, names, scopes and when they were made. The keys themselves are nowhere."""
    settings = configuration.load(store=store)
    found = KeyFile(settings.keys_path).read()
    listed = [key for key in found or () if every or key.revoked_at is None]
    if listed:
        text = "\n".join(_lines(listed))
    elif found is None:
        text = "no keys: programs on this machine may ask the service for anything, and others for nothing"
    else:
        text = f"no key is in force: nothing that needs one is answered; without {settings.keys_path} there are no keys"
    result(text, [key.to_document() for key in listed], as_json=as_json)


@keys.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(help="Its name; or its id, where several have that name.", metavar="NAME")],
    *,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a key's power. A running service, and the sessions that began with it, go by it within 2 s."""
    settings = configuration.load(store=store)
    gone, left = KeyFile(settings.keys_path).revoke(name)
    result(f"{gone.name} ({gone.id}) is revoked", gone.to_document(), as_json=as_json)
    if not left:
        say(
            "it was the last one: nothing that needs a key is answered until there is another. To go on without keys, "
            f"take {settings.keys_path} away and start the service anew"
        )


def _lines(listed: Sequence[Key]) -> list[str]:
    from assay.cli.tables import aligned

    rows: list[tuple[Any, ...]] = [("id", "name", "scopes", "created", "")]
    for key in listed:
        gone = "" if key.revoked_at is None else f"revoked {key.revoked_at:%Y-%m-%d %H:%M}Z"
        rows.append((key.id, key.name, ", ".join(key.scopes), f"{key.created_at:%Y-%m-%d %H:%M}Z", gone))
    return [line.rstrip() for line in aligned(rows)]
