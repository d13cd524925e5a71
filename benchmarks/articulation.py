"""Which needs of sounds show in real mouths, and up to which limit: people's own videos, judged.

    python -m benchmarks.articulation --clips DIR [--split train] [--store FOLDER] [--dub]

English clips that pocketsphinx is sure of are judged as the family `articulation` judges: the share
of sounds on which the need is met, the same by chance, and the difference, over all sounds of all
clips, with a bootstrap 95 % interval over clips. A class whose difference is not clearly above 0 is
not measurable. With `--dub` the paired re-synthesis of `benchmarks.quality` is judged beside.
"""

import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.clips import clip_arguments, clip_rows, largest_face
from benchmarks.command import table
from benchmarks.quality import prepare, resynthesise, spoken
from models.metrics.articulation import CLASSES, by_chance, least_within
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import DubflowError
from tasks.engine.open_run import open_run
from tasks.metrics.articulation import between_levels
from tasks.metrics.phones import load_phones, phones, why_not_sure
from tasks.source.timeline import load_timeline
from tasks.speech.lips_model import model_key
from tasks.speech.speaker import speaker
from tasks.speech.waveform import waveform

LIMITS = (0.1, 0.2, 0.3, 0.4, 0.5)
MIN_SECONDS = 3.0
SOURCE, DUB = "source", "exemplar"

Key = tuple[str, str, float]
"""Who, class of sounds, limit."""
Counts = tuple[int, int, float]
"""Sounds of one clip, those met, and how many would be by chance."""


def judge(
    who: str, face: Artifact, clip: Artifact, person: Artifact, heard: Artifact
) -> dict[Key, Counts]:
    """The counts of one video.

    Args:
        face: Landmarks of the video.
        clip: Its timeline.
        person: Landmarks of the person, whose levels count.
        heard: The phones.
    """
    seconds, found = load_timeline(clip).seconds, {}
    spans = list(zip(*load_phones(heard), strict=True))
    for sounds in CLASSES:
        values, reason = between_levels(sounds, face, person)
        chosen = [span for span, label in spans if label in sounds.phones]
        if reason or not chosen:
            continue
        least, chance = least_within(values, seconds, chosen), by_chance(values, seconds, chosen)
        least, chance = least[np.isfinite(least)], chance[np.isfinite(chance)]
        if not len(least) or not len(chance):
            continue
        for limit in sorted({*LIMITS, sounds.limit}):
            usual = len(least) * float((chance <= limit).mean())
            found[who, sounds.listed, limit] = (len(least), int((least <= limit).sum()), usual)
    return found


def judged(video: Source, *, dub: bool) -> dict[Key, Counts]:
    """Of the video itself, and of its dub if asked; nothing where the words are not sure."""
    heard = phones(waveform(video))
    if why_not_sure(heard):
        return {}
    clock, face = largest_face(video)
    found = judge(SOURCE, face, clock, face, heard)
    if dub:
        clip = prepare(video.path)
        person = speaker(clip.seen, mel=None, features=None, model=model_key())
        wanted = spoken(clip, clip.speech, person)
        made_clock, made = largest_face(Source.of(resynthesise(clip, wanted)))
        found |= judge(DUB, made, made_clock, face, heard)
    return found


def shares(clips: Sequence[Counts]) -> tuple[str, str, str]:
    """Met and by chance [%] over all sounds, and the difference [points] with its interval."""
    counts = np.array(clips, np.float64)
    drawn = np.random.default_rng(0).integers(0, len(counts), (2000, len(counts)))

    def gain(count: np.ndarray) -> np.ndarray:
        return 100 * (count[..., 1] - count[..., 2]) / count[..., 0]

    low, high = np.quantile(gain(counts[drawn].sum(1)), [0.025, 0.975])
    total = counts.sum(0)
    met, chance = 100 * total[1:] / total[0]
    return f"{met:.0f}", f"{chance:.0f}", f"{gain(total):.0f} ({low:.0f} to {high:.0f})"


def main() -> None:
    """Print the table."""
    parser = clip_arguments(__doc__)
    parser.add_argument("--dub", action="store_true", help="judge re-synthesised clips too")
    chosen = parser.parse_args()
    found: dict[Key, list[Counts]] = defaultdict(list)
    with open_run(Store(chosen.store or Path(tempfile.mkdtemp(prefix="dubflow-articulation-")))):
        for row in clip_rows(chosen.clips, chosen.split, seconds=MIN_SECONDS):
            if row["language"] != "en":
                continue
            try:
                clip = judged(Source.of(chosen.clips / row["file"]), dub=chosen.dub)
            except (DubflowError, ValueError) as error:
                print(f"{row['file']}: left out: {error}")
                continue
            for key, counts in clip.items():
                found[key].append(counts)
    table(
        ["", "sounds", "limit", "met [%]", "by chance [%]", "beyond chance", "heard", "clips"],
        (
            [*key, *shares(clips), sum(clip[0] for clip in clips), len(clips)]
            for key, clips in sorted(found.items())
        ),
    )


if __name__ == "__main__":
    main()
