"""The commands, put together."""

from __future__ import annotations

from typing import Annotated

import typer

from xfeed.cli import config, conformance, demo, doctor, feed, fit, ingest, kafka, model, snapshot
from xfeed.cli.common import handled

app = typer.Typer(
    name="xfeed",
    help="A For You feed that you can install, run, read and trust.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
config_app = typer.Typer(help="Settings: what there is and what is in force.", no_args_is_help=True)
app.add_typer(config_app, name="config")
kafka_app = typer.Typer(help="Kafka topics as the log; see docs/kafka.md.", no_args_is_help=True)
app.add_typer(kafka_app, name="kafka")
snapshot_app = typer.Typer(
    help="The state in files: made, listed, checked; see docs/snapshots.md.", no_args_is_help=True
)
app.add_typer(snapshot_app, name="snapshot")
model_app = typer.Typer(
    help="Models as bundles: imported, looked at, checked, run; see docs/models.md.",
    no_args_is_help=True,
)
app.add_typer(model_app, name="model")


def _version(wanted: bool) -> None:
    if wanted:
        from xfeed import _core

        typer.echo(f"xfeed {_core.version()}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A For You feed that you can install, run, read and trust."""


app.command("demo")(handled(demo.demo))
app.command("ingest")(handled(ingest.ingest))
app.command("fit")(handled(fit.fit))
app.command("feed")(handled(feed.feed))
app.command("where")(handled(feed.where))
app.command("conformance")(handled(conformance.conformance))
app.command("doctor")(handled(doctor.doctor))
config_app.command("show")(handled(config.show))
snapshot_app.command("create")(handled(snapshot.create))
snapshot_app.command("verify")(handled(snapshot.verify))
snapshot_app.command("list")(handled(snapshot.list_snapshots))
model_app.command("import")(handled(model.import_model))
model_app.command("show")(handled(model.show))
model_app.command("verify")(handled(model.verify))
model_app.command("run")(handled(model.run))
kafka_app.command("produce")(handled(kafka.produce))


def main() -> None:
    """Runs the command line."""
    app()
