"""GANimation (Pumarola et al., ECCV 2018), with which VideoReTalking changes the upper face."""
