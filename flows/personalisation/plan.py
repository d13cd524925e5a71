"""A personalisation's settings, checked and filled in, and what can be told of it beforehand."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

from flows.faults import faults_of
from flows.methods import method_settings
from flows.methods.meta_talk import MetaTalkSettings
from flows.personalisation.folder import check_folder
from flows.personalisation.pseudo import pseudo_weights
from flows.personalisation.settings import PersonaliseSettings
from flows.personalisation.speech import Speech, find_speech
from flows.recipes import recipe_settings
from flows.training.settings import TrainSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.keys import content_key
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import InputError, SettingsError
from stores.media.source import probe
from tasks.training.meta_talk_expression import ExpressionSettings
from tasks.training.settings import TrainerSettings
from tasks.weights.networks import find_weights

TRAININGS = {"expression": "meta_talk.expression", "renderer": "meta_talk.renderer"}
"""Folder below the run's → recipe, in the order in which they are trained."""

_SECONDS = {"video": 0.5, "face": 5.0}
"""What these steps take on two cores, for a second of video."""
_SPEECH_SECONDS = {"speech_to_lips": 0.15, "exemplar": 4.0}
"""And these teachers, for a second of speech."""


class Trained(NamedTuple):
    """One of the trainings.

    Attributes:
        changes: The recipe's settings that are not as in its preset.
        trainer: All of the trainer's.
        own: All of the recipe's.
    """

    changes: dict[str, Any]
    trainer: TrainerSettings
    own: Any


@dataclass(frozen=True)
class Plan:
    """What is done, how, and with what.

    Attributes:
        settings: As given.
        method: Of the method that dubs.
        trainings: By name, as in TRAININGS.
    """

    settings: PersonaliseSettings
    method: MetaTalkSettings
    trainings: Mapping[str, Trained]

    @classmethod
    def of(cls, settings: PersonaliseSettings) -> "Plan":
        """The plan of these settings.

        Raises:
            SettingsError: one of the method or of a recipe is unknown or out of range.
        """
        method = method_settings("meta_talk", settings.method_settings)
        assert isinstance(method, MetaTalkSettings)
        trainings = {}
        for name, recipe in TRAININGS.items():
            given = getattr(settings, name)
            changes = given.settings
            if changes.get("pairs") == "real":  # one speaker, of whom a part is held out
                changes = {"held_out": "time"} | changes
            found = recipe_settings(recipe, given.preset, trainer=given.trainer, settings=changes)
            trainings[name] = Trained(changes, *found)
        return cls(settings, method, trainings)

    @property
    def expression(self) -> ExpressionSettings:
        """Of the network from speech to expression."""
        own = self.trainings["expression"].own
        assert isinstance(own, ExpressionSettings)
        return own

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the published weights that are needed."""
        teacher = self.settings.pseudo.teacher_settings
        needed = pseudo_weights(teacher) if self.expression.pairs != "real" else ()
        return (*needed, *(("audiodvp_atnet",) if self.expression.size.features == "atnet" else ()))

    @cached_property
    def speech(self) -> Speech:
        """The foreign speech that is learned from.

        Raises:
            InputError: there is none, or one speaker's only, who can't be held out.
        """
        settings = self.settings
        if self.expression.pairs == "real":
            return Speech()
        if settings.speech is None:
            raise InputError(
                "give --speech FOLDER with speech of others, or set expression.settings.pairs=real "
                "to learn from the video's own"
            )
        minutes = settings.pseudo.minutes
        found = find_speech(
            settings.speech, person=settings.person, minutes=minutes, apart=settings.video
        )
        if len(found.speakers) == 1 and self.expression.held_out == "speaker":
            raise InputError(
                f"all speech in {settings.speech} is of one speaker ({found.speakers[0]}), who "
                "can't be held out: put each speaker's files into a subfolder, say with --person "
                "what in their names is the speaker, or set expression.settings.held_out=time"
            )
        return found

    @property
    def told(self) -> dict[str, Any]:
        """All settings that decide the weights, defaults filled in, as JSON."""
        pseudo = self.settings.pseudo.model_dump(mode="json")
        return {
            "face": self.settings.face,
            "method_settings": self.of_method,
            **({} if self.expression.pairs == "real" else {"pseudo": pseudo}),
            **{
                name: {
                    "trainer": each.trainer.model_dump(mode="json"),
                    "settings": each.own.model_dump(mode="json"),
                }
                for name, each in self.trainings.items()
            },
        }

    @property
    def of_method(self) -> dict[str, Any]:
        """Settings of the method, as JSON, but for what the run itself or a dub decides."""
        decided = {"run", "expression", "renderer", "precision"}
        decided |= {"force", "drive", "exclude_within_s"}
        return self.method.model_dump(mode="json", exclude=decided)

    @property
    def given(self) -> dict[str, Any]:
        """`told`, and the content of all files."""
        files = [
            [part.speaker, Source.known(part.path).key, None if part.whole else part.seconds]
            for part in self.speech.parts
        ]
        video = Source.known(self.settings.video).key
        return {"video": video, "speech": content_key({"parts": files}), **self.told}

    def train_settings(self, name: str, data: Path) -> TrainSettings:
        """For `train`."""
        settings, given = self.settings, getattr(self.settings, name)
        return TrainSettings.model_validate(
            {
                "recipe": TRAININGS[name],
                "data": data,
                "output": settings.output / name,
                "store": settings.store,
                "preset": given.preset,
                "trainer": {"device": settings.devices.device} | given.trainer,
                "settings": self.trainings[name].changes,
                "licence": settings.licence,
            }
        )

    def steps(self) -> list[str]:
        """What is done, in order, in words."""
        speech = self.settings.pseudo
        words = {
            "pseudo": f"{speech.minutes:g} min of foreign speech, expressions by {speech.method}",
            "real": "the video's own speech",
        }
        words["both"] = f"{words['pseudo']}, and {words['real']}"
        return [
            "video: frames, faces, landmarks",
            "face: the face model fitted, and what the renderer learns from",
            f"speech: {words[self.expression.pairs]}",
            *(
                f"{name}: {TRAININGS[name]}, {each.trainer.steps:,} steps"
                for name, each in self.trainings.items()
            ),
        ]

    def expected(self, done: Mapping[str, int]) -> dict[str, float | None]:
        """Step → seconds that it takes where its preset is meant for; None: nobody knows.

        Args:
            done: Steps of each training that were done before.
        """
        length = probe(self.settings.video).seconds or 0.0
        each = _SPEECH_SECONDS.get(self.settings.pseudo.method)
        found: dict[str, float | None] = {name: each * length for name, each in _SECONDS.items()}
        found["speech"] = None if each is None else each * self.speech.seconds
        for name, training in self.trainings.items():
            pace = getattr(self.settings, name).seconds_per_step
            left = max(training.trainer.steps - done[name], 0)
            found[name] = None if pace is None else pace * left
        return found

    def check(self) -> dict[str, Artifact]:
        """Refuse at once what could only fail later; gives the weights that are needed, by name.

        Raises:
            InputError: naming the file or setting and what to do.
            MissingWeights: saying where to get them, and how to add them.
            TrainingError: the folder of the run holds something else.
        """
        for look in self._checks():
            look()
        store = Store(self.settings.store)
        return {name: find_weights(name, store=store) for name in self.weights}

    def faults(self) -> list[str]:
        """All that `check` would refuse, not only the first of it."""
        store = Store(self.settings.store)
        found = (partial(find_weights, name, store=store) for name in self.weights)
        return faults_of([*self._checks(), *found])

    def _checks(self) -> list[Callable[[], object]]:
        check = partial(check_folder, self.settings.output)
        return [check, self._check_video, lambda: self.speech]

    def _check_video(self) -> None:
        video, found = self.settings.video, probe(self.settings.video)
        if found.kind != "video":
            raise InputError(f"{video} is no video; a face is learned from its motion")
        if self.expression.pairs != "pseudo" and not found.has_audio:
            raise SettingsError(
                f"{video} has no sound; set expression.settings.pairs=pseudo to learn from others"
            )
