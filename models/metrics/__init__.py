"""Metrics of pictures (LPIPS, FID, SSIM, PSNR, CPBD, seams) and of lips (motion, articulation, sync)."""
