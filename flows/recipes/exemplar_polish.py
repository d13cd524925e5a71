"""`exemplar.polish`: the network that polishes borrowed mouths, on mouths that the method makes."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from flows.methods.exemplar import expression_of, heard
from flows.recipes import RecipeSpec
from flows.training.index_data import open_parts, seen_clip
from flows.training.job import Job
from models.exemplar.settings import CropSettings, LenderSettings, RenderSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.dataset_index import ClipPart
from stores.errors import SettingsError
from tasks.engine.open_run import open_run
from tasks.methods.exemplar import lenders
from tasks.methods.polish_pairs import polish_pairs, true_motion
from tasks.result.output_frames import lay_out, output_frames
from tasks.result.settings import SyncSettings
from tasks.source.crops import crops
from tasks.source.seen import Seen
from tasks.source.small_mouths import small_mouths
from tasks.source.visibility import visibility
from tasks.speech.lips_model import model_key
from tasks.speech.motion import motion
from tasks.speech.speaker import speaker
from tasks.training.exemplar_polish import PolishRecipe, PolishSettings
from tasks.training.mouth_pairs import MouthPairs, MouthPart
from tasks.training.recipe import Data


def open_mouths(job: Job) -> Data:
    """Mouths of the clips of an index, made here first: with the lips that they really have, and
    with those that their own speech asks for.

    Raises:
        InputError: a clip is not there any more, or another one.
    """
    settings = job.settings
    assert isinstance(settings, PolishSettings)
    store = Store(job.store)

    @cache
    def made(
        digest: str, path: Path, timeline: str, landmarks: str, waveform: str
    ) -> tuple[str, str] | None:
        seen = seen_clip(store, digest, path, timeline=timeline, landmarks=landmarks)
        seen = replace(seen, waveform=store.get("waveform", waveform))
        try:
            return pairs_of(seen, apart_s=settings.apart_s)
        except SettingsError:  # some frame has no other that is far enough
            return None

    def cut(parts: Sequence[ClipPart], judged: bool) -> MouthPairs:
        found = []
        for part in parts:
            keys = (part.keys[name] for name in ("timeline", "landmarks", "waveform"))
            both = made(part.digest, part.path, *keys)
            for predicted, key in zip((False, True), both or (), strict=False):
                if judged or settings.predicted or not predicted:
                    found.append(MouthPart(part.row, key, predicted, part.start, part.stop))
        stride = settings.judged_stride if judged else settings.stride
        return MouthPairs(found, job.store, stride=stride)

    with open_run(store):
        return open_parts(job, cut)


def pairs_of(seen: Seen, *, apart_s: float) -> tuple[str, str]:
    """Keys of `polish_pairs` of a clip, with its true lips and with predicted ones.

    Args:
        seen: The clip, with its sound.
        apart_s: No mouth is borrowed from nearer in time [s].

    Raises:
        SettingsError: some frame has no other that is so far away.
    """
    sound = seen.waveform
    assert sound is not None
    showing, _ = lay_out(
        seen.timeline, float(sound.attributes["seconds"]), SyncSettings(mode="silence")
    )
    frames = output_frames(seen.timeline, showing=showing)
    bank = crops(seen, settings=CropSettings())
    free, mouths = visibility(seen, crops=bank), small_mouths(bank, seen.landmarks)
    # Not adapted: it would have seen the very mouths that it shall predict.
    person = speaker(seen, mel=None, features=None, model=model_key())
    true = true_motion(person, seen.landmarks, output_frames=frames)
    said = motion(
        seen,
        **heard(sound),
        speaker=person,
        expression=expression_of(seen, person),
        output_frames=frames,
    )

    def pairs(wanted: Artifact) -> str:
        lent = lenders(
            seen,
            motion=wanted,
            crops=bank,
            visibility=free,
            output_frames=frames,
            settings=LenderSettings(),
            render=RenderSettings(),
            exclude_within_s=apart_s,
        )
        return polish_pairs(
            seen,
            lenders=lent,
            motion=wanted,
            crops=bank,
            mouths=mouths,
            output_frames=frames,
            settings=RenderSettings(),
        ).key

    return pairs(true), pairs(said)


RECIPE = RecipeSpec(PolishSettings, open_mouths, PolishRecipe)
