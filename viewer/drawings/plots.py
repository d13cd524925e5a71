"""Artifacts that are seen as curves: one plot each."""

from collections.abc import Callable
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from models.exemplar.render import mixed_mouths, mouth_displacement
from models.exemplar.settings import RenderSettings
from models.faces.mesh.indices import MOUTH, MOUTH_CORNERS, OUTER_LIP
from models.speech_to_lips.neutral import opening
from stores.artifacts.artifact import Artifact
from viewer.drawings.lineage import Lineage

Plot = Callable[[Any, Lineage], None]
"""Draws into matplotlib axes."""

_MOST_ROWS = 200_000
"""Of what is only drawn in general."""
_PERCENT = "% of face height"


def mel(axes: Any, lineage: Lineage) -> None:
    """The whole, bands against time."""
    found = lineage.artifact.read("mel")
    axes.imshow(found.T, origin="lower", aspect="auto", extent=(0, len(found) / 80, 0, 80))
    axes.set(xlabel="time [s]", ylabel="mel band")


def speech_features(axes: Any, lineage: Lineage) -> None:
    """The channels that vary most, each by its own spread, against time."""
    found = lineage.artifact.read("feature").astype(np.float32)
    varied = np.sort(np.argsort(found.std(0))[-128:])
    shown = (found[:, varied] - found[:, varied].mean(0)) / (found[:, varied].std(0) + 1e-6)
    extent = (0, len(found) / 50, 0, len(varied))
    axes.imshow(shown.T, origin="lower", aspect="auto", vmin=-2.5, vmax=2.5, extent=extent)
    axes.set(xlabel="time [s]", ylabel=f"{len(varied)} of {found.shape[1]} channels")


def waveform(axes: Any, lineage: Lineage) -> None:
    """Its envelope."""
    samples, rate = lineage.artifact.read("sample"), lineage.artifact.attributes["rate_hz"]
    step = max(1, len(samples) // 4000)
    blocks = samples[: len(samples) // step * step].reshape(-1, step)
    times = np.arange(len(blocks)) * step / rate
    axes.fill_between(times, blocks.min(1), blocks.max(1), linewidth=0.2)
    axes.set(xlabel="time [s]", ylabel="amplitude", ylim=(-1, 1))


def timeline(axes: Any, lineage: Lineage) -> None:
    """How long each frame is shown, keyframes, and cuts."""
    clip = lineage.clip
    times, steps = clip.seconds, np.diff(clip.seconds) * 1000
    if not len(steps):
        axes.text(0.5, 0.5, "one frame", ha="center", transform=axes.transAxes)
        return
    even = np.ptp(steps) <= 0.02 * np.median(steps) + 1000 * float(clip.time_base)
    told = "constant" if even else f"{steps.min():.1f} to {steps.max():.1f} ms"
    axes.plot(times[:-1], steps, ".-", color="tab:blue", linewidth=1, markersize=3)
    axes.plot(times[clip.keyframe], np.zeros(clip.keyframe.sum()), "|", color="tab:green")
    for cut in times[clip.scene_start][1:]:
        axes.axvline(cut, color="tab:red", linewidth=0.8)
    axes.set(
        xlabel=f"time [s]: {len(times)} frames, {1000 / np.median(steps):.3f} a second, {told}",
        ylabel="shown for [ms]\ngreen: keyframes, red: cuts",
        ylim=(-0.05 * steps.max(), 1.4 * steps.max()),
    )


def output_frames(axes: Any, lineage: Lineage) -> None:
    """When the output shows which time of the source."""
    artifact, clip = lineage.artifact, lineage.clip
    axes.plot(
        artifact.read("pts") * float(clip.time_base),
        clip.seconds[artifact.read("source_frame")],
        linewidth=1,
    )
    axes.set(xlabel="time of the output [s]", ylabel="time of the source [s]")


def visibility(axes: Any, lineage: Lineage) -> None:
    """How clear the mouth is, and where it is taken for hidden."""
    artifact, times = lineage.artifact, lineage.clip.seconds
    axes.plot(times, artifact.read("quality"), linewidth=0.8)
    hidden = ~artifact.read("free")
    axes.fill_between(times, 0, 1, where=hidden, color="tab:red", alpha=0.3, step="mid")
    axes.set(xlabel="time of the source [s]", ylabel="mouth clear (red: hidden)", ylim=(0, 1.05))


def speaker(axes: Any, lineage: Lineage) -> None:
    """The closed mouth of this person, and what the model learned of the way it moves."""
    artifact = lineage.artifact
    neutral, facts = artifact.read("neutral"), artifact.attributes
    rows = [MOUTH.index(point) for point in OUTER_LIP]
    lips = neutral[[*rows, rows[0]], :2]
    axes.plot(lips[:, 0], -lips[:, 1], "-", label="closed lips")
    axes.plot(neutral[:, 0], -neutral[:, 1], ".", markersize=3, label="all points of the mouth")
    axes.set_aspect("equal", adjustable="datalim")
    adapted = "yes" if facts.get("adapted") else f"no: {facts.get('reason', '')}"
    told = [f"opens {float(artifact.read('scale')[0]):.2f} times as far as usual"]
    if facts.get("correlation") is not None:
        told.append(f"own speech and mouth: correlation {facts['correlation']:.2f}")
    axes.set_title(f"adapted to the speaker: {adapted}\n{'; '.join(told)}", fontsize=9)
    axes.set(xlabel="face heights")
    axes.legend(loc="upper right", fontsize=8)


def lip_expression(axes: Any, lineage: Lineage) -> None:
    """How far it raises the corners of the mouth, and widens it."""
    right, left = (lineage.artifact.read("mouth")[:, MOUTH.index(point)] for point in MOUTH_CORNERS)
    times = lineage.clip.seconds
    axes.plot(times, -50 * (right + left)[:, 1], label="corners raised", linewidth=1.2)
    axes.plot(times, 100 * (left - right)[:, 0], label="mouth wider", linewidth=1.2)
    axes.set(xlabel="time of the source [s]", ylabel=f"added to the speech's mouth [{_PERCENT}]")
    axes.legend(loc="upper right", fontsize=8)


def motion(axes: Any, lineage: Lineage) -> None:
    """Mouth opening: asked for by the speech, lent by the frames that were chosen, and drawn."""
    asked, path = _motion_and_path(lineage)
    wanted = asked.need("motion")
    times = asked.need("output_frames").read("pts") * float(asked.clip.time_base)
    mouth = wanted.read("mouth")
    axes.plot(times, 100 * opening(mouth), label="asked for by the speech", linewidth=1.2)
    if path is not None:
        lent, drawn, own = _given(path, mouth, wanted.read("neutral"))
        axes.plot(times, 100 * own, color="0.7", linewidth=0.8, label="in the source")
        axes.plot(times, 100 * lent, color="tab:orange", label=_share("path lends", lent, mouth))
        axes.plot(times, 100 * drawn, color="tab:red", label=_share("drawn", drawn, mouth))
    axes.set(xlabel="time [s]", ylabel=f"mouth opening [{_PERCENT}]", ylim=(0, None))
    _loudness(axes, wanted, asked, until=float(times[-1]))
    axes.legend(loc="upper right", fontsize=8, ncols=2)


def _motion_and_path(lineage: Lineage) -> tuple[Lineage, Artifact | None]:
    """What was asked, and the choice of lenders that a run made for it."""
    if lineage.artifact.kind == "motion":
        return lineage, lineage.user("lenders")
    return Lineage(lineage.store, lineage.need("motion")), lineage.artifact


def _given(
    path: Artifact, asked: NDArray[np.float32], neutral: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Openings that the lenders have, that are drawn, and that the frames had [face heights]."""
    around = Lineage(_store(path), path)
    mouths = around.need("landmarks").read("mouth")
    own = mouths[around.need("output_frames").read("source_frame")]
    lent = mixed_mouths(mouths, *(path.read(name) for name in ("first", "second", "weight")))
    settings = RenderSettings.model_validate(path.manifest.parameters["render"])
    moved = mouth_displacement(asked, lent, own, neutral=neutral, settings=settings)
    drawn = opening(own + moved)
    untouched = path.read("opacity") == 0
    drawn[untouched] = opening(own)[untouched]
    return opening(lent), drawn, opening(own)


def _share(what: str, curve: NDArray[np.float32], mouth: NDArray[np.float32]) -> str:
    """As in "drawn: 83 % of what was asked": how far the curve swings."""
    swing = [float(np.subtract(*np.percentile(c, (95, 5)))) for c in (curve, opening(mouth))]
    return f"{what}: swings {100 * swing[0] / max(swing[1], 1e-6):.0f} % of what was asked"


def _loudness(axes: Any, wanted: Artifact, asked: Lineage, *, until: float) -> None:
    """The speech's loudness as far as the picture goes, which may end before it."""
    found = asked.store.get(*wanted.manifest.inputs["mel"]).read("mel")[: round(80 * until) + 1]
    loud = axes.twinx()
    loud.plot(np.arange(len(found)) / 80, found.mean(1), color="tab:green", linewidth=0.4)
    loud.set(ylabel="mean log-mel of the speech", ylim=(-4, 12))


def _store(artifact: Artifact) -> Any:
    from stores.artifacts.store import Store

    return Store(artifact.store_url)


def anything(axes: Any, lineage: Lineage) -> None:
    """The first array that can be drawn: a curve, or a picture of its columns against its rows."""
    artifact = lineage.artifact
    name = drawable_array(artifact)
    assert name is not None
    values = artifact.read(name, 0, _MOST_ROWS).astype(np.float32)
    facts = dict(artifact.group[name].attrs)
    unit = f" [{facts['units']}]" if facts.get("units") else ""
    dims = dims_of(artifact, name)
    if values.size in values.shape:
        axes.plot(values.reshape(-1), linewidth=0.8)
        axes.set(xlabel=dims[values.shape.index(values.size)], ylabel=f"{name}{unit}")
        return
    flat = values.reshape(len(values), -1)
    axes.imshow(flat.T, origin="lower", aspect="auto", interpolation="nearest")
    axes.set(xlabel=dims[0], ylabel=f"{name}{unit}: {' x '.join(dims[1:])}")


def drawable_array(artifact: Artifact) -> str | None:
    """The array that `anything` draws."""
    for name in artifact.array_names:
        array = artifact.group[name]
        if isinstance(array, zarr.Array) and array.ndim and array.size > 1:
            return name
    return None


def dims_of(artifact: Artifact, name: str) -> list[str]:
    """Names of an array's dimensions; none of a stream of bytes."""
    found = artifact.group[name].metadata
    return [str(each) for each in getattr(found, "dimension_names", None) or ()]


PLOTS: dict[str, Plot] = {
    "mel": mel,
    "speech_features": speech_features,
    "waveform": waveform,
    "timeline": timeline,
    "speaker": speaker,
    "lip_expression": lip_expression,
    "motion": motion,
}
"""By kind of artifact."""
BESIDE: dict[str, Plot] = {
    "visibility": visibility,
    "output_frames": output_frames,
    "lenders": motion,
}
"""Of those that are seen frame by frame as well: below their pictures."""
