"""Image metrics as published: LPIPS, FID, SSIM, PSNR, CPBD."""
