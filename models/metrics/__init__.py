"""Metrics of pictures (LPIPS, FID, SSIM, PSNR, CPBD, seams) and lips (motion, sounds, sync)."""
