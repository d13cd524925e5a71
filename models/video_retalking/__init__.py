"""VideoReTalking (Cheng et al., SIGGRAPH Asia 2022): D-Net, L-Net, E-Net and their procedure."""
