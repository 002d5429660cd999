"""`xfeed config`: settings in force."""

from __future__ import annotations

from rich.table import Table

from xfeed.cli.common import (
    DEFAULT_DATA,
    DataOption,
    JsonOption,
    SetOption,
    out,
    overrides,
    print_json,
)


def show(
    data: DataOption = DEFAULT_DATA,
    settings: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shows every setting with its value, and the weights in force.

    A value comes from the command line, else from `XFEED_…` variables, else from `xfeed.toml` in
    the data directory, else from the defaults.
    """
    from xfeed.config import describe, load_config
    from xfeed.presets import available, load_preset

    config = load_config(data, overrides(settings))
    preset = load_preset(config.scoring.preset)
    preset.weighted_sum(config.scoring.weights)
    weights = {**preset.weights, **config.scoring.weights}
    if as_json:
        print_json(
            {
                "config": config.model_dump(mode="json"),
                "config_digest": config.digest,
                "preset": preset.model_dump(mode="json"),
                "presets": list(available()),
                "weights": weights,
            }
        )
        return
    table = Table(title="settings")
    for name in ("setting", "value", "meaning"):
        table.add_column(name, overflow="fold")
    for row in describe(config):
        table.add_row(row.name, row.value, row.description)
    out().print(table)
    table = Table(title=f"weights: {preset.name} (there are {', '.join(available())})")
    table.add_column("action")
    table.add_column("weight", justify="right")
    for action, weight in weights.items():
        table.add_row(action, f"{weight:g}")
    out().print(table)
