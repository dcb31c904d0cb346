"""`provision doctor`."""

from __future__ import annotations

import dataclasses

import click

from provision.cli.context import Context, common_options
from provision.errors import NotFound, PermissionDenied

WRONG = 3  # as the LinkError that would come of it


@click.command("doctor")
@click.option(
    "--mend", type=click.Choice(["ccid-plist"]), help="Mend this: ccid-plist lets pcscd know the tokens (as root)."
)
@common_options
def doctor(context: Context, mend: str | None) -> None:
    """Say what keeps tokens from being used on this machine, and the command that mends it.

    One line for each finding. Exit code 3 if something is wrong; notes are about what you may not need.
    """
    if mend is not None:
        _mend_ccid_table(context)
        return
    from provision.cli.doctor_checks import diagnose
    from provision.cli.doctor_view import look

    findings = diagnose(look())
    lines = [f"{'note' if each.note else 'problem'}: {each.problem}. Mend: {each.mend}" for each in findings]
    wrong = any(not each.note for each in findings)
    if not wrong:
        lines.append("nothing is wrong")
    context.result({"findings": [dataclasses.asdict(each) for each in findings]}, "\n".join(lines))
    if wrong:
        click.get_current_context().exit(WRONG)


def _mend_ccid_table(context: Context) -> None:
    from pathlib import Path

    from provision.cli import ccid_table
    from provision.cli.itself import own_command
    from provision.families.identities import USB_IDENTITIES

    path = ccid_table.find(Path("/"))
    if path is None:
        raise NotFound("there is no libccid, whose table pcscd reads", hint="run: sudo apt-get install pcscd libccid")
    readers = [
        ccid_table.Reader(identity.idVendor, identity.idProduct, identity.product or f"{family} token")
        for family, identities in USB_IDENTITIES.items()
        for identity in identities
    ]
    try:
        changed = ccid_table.mend(path, readers)
    except PermissionError:
        raise PermissionDenied(
            f"only root may write {path}", hint=f"run: sudo {own_command()} doctor --mend ccid-plist"
        ) from None
    text = "every token is in it already"
    if changed:
        text = f"tokens added, the file as it was is {path}.orig; restart pcscd: sudo systemctl restart pcscd"
    context.result({"path": str(path), "changed": changed}, f"{path}: {text}")
