"""`assay rules`."""

from __future__ import annotations

from assay import settings as configuration
from assay.cli.options import ForceOption, JsonOption
from assay.cli.output import app, result, say
from assay.workspace import Rendered, Workspace

__all__ = ["rules", "say_rendered"]


@app.command()
def rules(*, force: ForceOption = False, as_json: JsonOption = False) -> None:
    """Render `promconfig/` and `app/contracts.py` from the active contracts; promtool checks the rules where it is."""
    workspace = Workspace(configuration.load())
    rendered = workspace.render(force=force, thoroughly=True)
    written, checked = rendered
    text = "\n".join(map(str, written)) if written else "nothing has changed"
    result(text, {"written": [str(path) for path in written], "checked": checked}, as_json=as_json)
    say_rendered(rendered)
    for remark in workspace.remarks():
        say(f"assay: alert_exceptions: {remark}")


def say_rendered(rendered: Rendered) -> None:
    """Tell where nobody has checked the rules."""
    if not rendered[1]:
        say("assay: promtool is not here, so the rules were not checked; it comes with Prometheus")
