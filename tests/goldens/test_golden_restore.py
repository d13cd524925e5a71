"""StyleGAN2 and what restores faces with it: GPEN, GFPGAN, their detector and parsers."""

from tests.goldens.golden import load, tensor


def test_golden_stylegan2_generator64() -> None:
    golden = load("stylegan2_generator64")
    network = golden.network()
    z, z2, mean = (tensor(golden.inputs[name]) for name in ("z", "z2", "mean_latent"))
    image, latents = network([z], return_latents=True, randomize_noise=False)
    mixed, _ = network([z, z2], inject_index=4, randomize_noise=False)
    truncated, _ = network([z], truncation=0.6, truncation_latent=mean, randomize_noise=False)
    golden.compare({"image": image, "w": latents[:, 0], "mixed": mixed, "truncated": truncated})


def test_golden_stylegan2_discriminator64() -> None:
    golden = load("stylegan2_discriminator64")
    network = golden.network()
    image = tensor(golden.inputs["image"]) / 127.5 - 1
    golden.compare(
        {
            "score": network(image),
            "features": network.convs(image),
            "score_first4": network(image[:4]),
        }
    )
