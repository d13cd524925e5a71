"""Options that several commands share."""

from typing import Annotated

import typer

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="FOLDER|s3://…",
        help="Where artifacts are kept. [dim]Default: DUBFLOW_STORE, else the cache folder.[/]",
        rich_help_panel="Running",
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="End with one JSON object on stdout.", rich_help_panel="Running"),
]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="local[:N]|tcp://HOST:PORT|FILE.yaml",
        help="Dask workers that compute. [dim]Default: threads of this process.[/]",
        rich_help_panel="Running",
    ),
]
PrefectOption = Annotated[
    bool | None,
    typer.Option(
        "--prefect/--direct",
        help="Run under Prefect (starts its server if none is known), or without. "
        "[dim]Default: Prefect if PREFECT_API_URL is set.[/]",
        rich_help_panel="Running",
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="auto|cpu|cuda|mps",
        help="Where networks run. [dim]Default: auto, a GPU if there is one.[/]",
        rich_help_panel="Running",
    ),
]
