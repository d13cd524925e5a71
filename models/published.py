"""The published networks by name, ready for their published state dicts.

network = build("wav2lip_generator")
network.load_state_dict(weights)      # keys, shapes and order are those of the published file
"""

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import nn


class _Maker(NamedTuple):
    module: str
    name: str
    arguments: Mapping[str, Any] = MappingProxyType({})


_NETWORKS = {
    # Wav2Lip
    "wav2lip_generator": _Maker("models.wav2lip.generator", "Generator"),
    "wav2lip_disc_qual": _Maker("models.wav2lip.critic", "QualityCritic"),
    "wav2lip_syncnet_color": _Maker("models.wav2lip.expert", "SyncExpert"),
    # SyncNet v2
    "syncnet_v2": _Maker("models.syncnet.network", "SyncNet"),
    # IP-LAP
    "ip_lap_landmark_generator": _Maker("models.ip_lap.landmark_generator", "LandmarkGenerator"),
    "ip_lap_renderer": _Maker("models.ip_lap.renderer", "Renderer"),
    "ip_lap_discriminator": _Maker("models.ip_lap.critic", "PatchCritic"),
    "vgg19": _Maker("models.ip_lap.perceptual", "Vgg19"),
    # VideoReTalking
    "vrt_dnet": _Maker("models.video_retalking.dnet", "DNet"),
    "vrt_lnet": _Maker("models.video_retalking.lnet", "LNet"),
    "vrt_enet": _Maker("models.video_retalking.enet", "ENet"),
    "vrt_expression": _Maker("models.video_retalking.expression", "PublishedExpressions"),
    "ganimation_generator": _Maker("models.ganimation.generator", "Generator"),
    # StyleGAN2 and what is built on it
    "stylegan2_generator64": _Maker("models.stylegan2.generator", "Generator", {"size": 64}),
    "stylegan2_discriminator64": _Maker(
        "models.stylegan2.discriminator", "Discriminator", {"size": 64}
    ),
    "gpen_bfr_512": _Maker("models.restore.gpen", "FullGenerator", {"size": 512}),
    "gfpgan_v1clean_512": _Maker("models.restore.gfpgan", "gfpgan_v1_clean"),
    # PC-AVS
    "pcavs_audio_encoder": _Maker("models.pc_avs.audio_encoder", "AudioEncoder"),
    "pcavs_generator": _Maker("models.pc_avs.generator", "Generator"),
    "pcavs_identity_encoder": _Maker("models.pc_avs.identity_encoder", "IdentityEncoder"),
    "pcavs_pose_encoder": _Maker("models.pc_avs.pose_encoder", "PoseEncoder"),
    # Faces: detection, landmarks, parsing, recognition
    "s3fd": _Maker("models.faces.detection.s3fd", "face_alignment_s3fd"),
    "s3fd_syncnet": _Maker("models.faces.detection.s3fd", "SyncNetS3FD"),
    "fan_2dfan4": _Maker("models.faces.landmarks.fan", "fan_2d"),
    "parsenet": _Maker("models.faces.parsing.parsenet", "parsenet"),
    "arcface_r50": _Maker("models.faces.recognition.arcface", "IResNet", {"layers": (3, 4, 14, 3)}),
    "arcface_r100": _Maker(
        "models.faces.recognition.arcface", "IResNet", {"layers": (3, 13, 30, 3)}
    ),
    # 3DMM
    "deep3d_recon_resnet50": _Maker("models.deep3d.regressor", "Regressor"),
    # AudioDVP, the base of Meta Talk
    "audiodvp_atnet": _Maker("models.audiodvp.atnet", "ATNet"),
    "audiodvp_expression": _Maker("models.audiodvp.expression", "AudioToExpression"),
    "audiodvp_nfr_generator": _Maker("models.audiodvp.renderer", "NeuralFaceRenderer"),
    "audiodvp_nfr_discriminator": _Maker("models.audiodvp.critic", "PatchCritic"),
    "audiodvp_resnet50_vggface2": _Maker("models.audiodvp.regressor", "vggface2_resnet50"),
    # Meta Talk, of which nothing is published
    "meta_talk_expression": _Maker("models.meta_talk.expression", "SpeechToExpression"),
    "meta_talk_renderer": _Maker("models.meta_talk.renderer", "neural_renderer"),
    # The feature-driven StyleGAN2 talking face, of which nothing is published
    "stylegan2_face_embedding": _Maker("models.stylegan2_face.encoders", "Embedding"),
    "stylegan2_face_identity": _Maker("models.stylegan2_face.encoders", "IdentityEncoder"),
    "stylegan2_face": _Maker("models.stylegan2_face.network", "TalkingFace"),
    # What polishes the mouths of the default method, of which nothing is published
    "exemplar_polish": _Maker("models.exemplar.polish_network", "Polish"),
    # Metrics
    "lpips_alex": _Maker("models.metrics.lpips", "perceptual_distance", {"net": "alex"}),
    "lpips_vgg": _Maker("models.metrics.lpips", "perceptual_distance", {"net": "vgg"}),
    "fid_inception_v3": _Maker("models.metrics.inception", "FidInception"),
}

NAMES = tuple(_NETWORKS)


_TRAINED = {
    "wav2lip_generator": _Maker("models.wav2lip.settings", "Wav2LipSize"),
    "wav2lip_syncnet_color": _Maker("models.wav2lip.settings", "Wav2LipSize"),
    "vrt_lnet": _Maker("models.video_retalking.settings", "LNetSize"),
    "vrt_enet": _Maker("models.video_retalking.settings", "ENetSize"),
    "ganimation_generator": _Maker("models.ganimation.settings", "GANimationSize"),
    "ip_lap_landmark_generator": _Maker("models.ip_lap.settings", "LandmarkSize"),
    "ip_lap_renderer": _Maker("models.ip_lap.settings", "RendererSize", {"with_loss": False}),
    "vrt_dnet": _Maker("models.video_retalking.settings", "DNetSize"),
    "meta_talk_expression": _Maker("models.meta_talk.expression_settings", "ExpressionSize"),
    "meta_talk_renderer": _Maker("models.meta_talk.settings", "NeuralRendererSize"),
    "stylegan2_face_embedding": _Maker("models.stylegan2_face.settings", "EmbeddingSize"),
    "stylegan2_face_identity": _Maker("models.stylegan2_face.settings", "IdentitySize"),
    "stylegan2_face": _Maker("models.stylegan2_face.settings", "FaceSize"),
    "exemplar_polish": _Maker("models.exemplar.settings", "PolishSize"),
}
"""Networks that `dubflow train` makes: the model of their size, and what else is not as published.
"""

TRAINED_NAMES = tuple(_TRAINED)


def build(name: str, **changes: Any) -> nn.Module:
    """The network of that name, with fresh weights.

    Args:
        name: One of NAMES.
        changes: Constructor arguments in place of the published ones (another size, say).

    Raises:
        ValueError: there is no such network.
    """
    if name not in _NETWORKS:
        raise ValueError(f"there is no network {name!r}; there is {', '.join(NAMES)}")
    maker = _NETWORKS[name]
    make = getattr(importlib.import_module(maker.module), maker.name)
    network = make(**{**maker.arguments, **changes})
    assert isinstance(network, nn.Module)
    return network


def build_trained(name: str, config: Mapping[str, Any]) -> nn.Module:
    """The network of that name in a size of one's own, with fresh weights.

    Args:
        name: One of TRAINED_NAMES.
        config: Of the model of its size; what is not named is as published.

    Raises:
        ValueError: there is no such network, or the size is not one of its own.
    """
    if name not in _TRAINED:
        raise ValueError(f"no network {name!r} is trained; there is {', '.join(TRAINED_NAMES)}")
    trained = _TRAINED[name]
    size = getattr(importlib.import_module(trained.module), trained.name).model_validate(config)
    return build(name, size=size, **trained.arguments)
