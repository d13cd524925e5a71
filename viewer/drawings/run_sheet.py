"""A whole run on one page: every stage's pictures and curves, in the order of the flow."""

from pathlib import Path
from typing import Any

from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.errors import DamagedArtifact, StoreError
from stores.runs import RunRecord
from viewer.drawings.draw import (
    PICTURE_PX,
    SHEET_COLUMNS,
    check_target,
    pictures_of,
    plot_of,
    sheet_of,
)
from viewer.drawings.lineage import Image, Lineage
from viewer.drawings.plots import PLOTS, Plot

_STRIP, _CURVE = 1.75, 2.4
"""Heights on the page [inch]."""
_WIDTH = 14.0
_LEFT_OUT = frozenset({"face_descriptors", "dubbed", "output_frames", "faces"})
"""What others show better."""


def draw_run(store: Store, run: RunRecord, target: Path) -> list[str]:
    """Draw everything that a run used and made into a .png or .pdf; gives what could not be drawn.

    Raises:
        SettingsError: the file's name is another, or it can't be written.
        StoreError: nothing of the run is in the store any more.
    """
    check_target(target, (".png", ".pdf"), option="--sheet")
    strips: list[tuple[Artifact, Image]] = []
    plots: list[tuple[Lineage, Plot]] = []
    lost: list[str] = []
    for kind, key in run.artifacts:
        if kind in _LEFT_OUT:
            continue
        try:
            artifact = store.get(kind, key)
            lineage, pictures = Lineage(store, artifact), pictures_of(artifact)
            if pictures is not None:
                strips.append((artifact, sheet_of(lineage, pictures, SHEET_COLUMNS)))
            elif (plot := PLOTS.get(kind) or plot_of(artifact)) is not None:
                plots.append((lineage, plot))
        except (StoreError, DamagedArtifact) as error:
            lost.append(f"{kind} {key[:12]}: {error}")
    if not strips and not plots:
        raise StoreError(f"nothing of the run {run.id} is in {store.url} any more")
    _write(run, strips, plots, target)
    return lost


def _write(
    run: RunRecord,
    strips: list[tuple[Artifact, Image]],
    plots: list[tuple[Lineage, Plot]],
    target: Path,
) -> None:
    from matplotlib.figure import Figure

    plots.sort(key=lambda each: each[0].artifact.kind != "motion")  # what most ask for first
    lines = -(-len(plots) // 2)
    heights = [_STRIP * image.shape[0] / PICTURE_PX for _, image in strips] + [_CURVE] * lines
    figure = Figure(figsize=(_WIDTH, sum(heights) + 1), layout="constrained")
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights)
    for place, (artifact, image) in enumerate(strips):
        axes: Any = figure.add_subplot(grid[place, :])
        axes.imshow(image, aspect="equal", interpolation="none")
        axes.set(xticks=[], yticks=[])
        axes.set_ylabel(f"{titled(artifact, run)}\n{artifact.key[:8]}", fontsize=9)
    for place, (lineage, plot) in enumerate(plots):
        axes = figure.add_subplot(grid[len(strips) + place // 2, place % 2])
        plot(axes, lineage)
        _entitle(axes, f"{titled(lineage.artifact, run)} {lineage.artifact.key[:8]}")
    written = Path(run.output).name if run.output else ""
    used = [Path(str(run.settings[n])).name for n in ("video", "audio") if run.settings.get(n)]
    title = f"{run.command} {' + '.join(used)} → {written}"
    figure.suptitle(f"{title}\nrun {run.id}, {run.created[:16]} UTC", fontsize=12)
    figure.savefig(target, dpi=100)


def titled(artifact: Artifact, run: RunRecord) -> str:
    """Its kind, and what it was for: "waveform (speech)"."""
    role = run.roles.get(artifact.key)
    return f"{artifact.kind} ({role})" if role else artifact.kind


def _entitle(axes: Any, name: str) -> None:
    told = axes.get_title()
    axes.set_title(f"{name}: {told}" if told else name, fontsize=9)
