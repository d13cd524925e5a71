"""StyleGAN2 and the layers that its descendants share."""
