"""The one trainer of all recipes: loop, checkpoints, TensorBoard, run card.

Torch's own parts (DDP, autocast, GradScaler) in a small loop of our own. Lightning, Fabric and
Accelerate write checkpoints as pickles, which this project does not load, and keep the state of
random numbers in them; what they would have done beside that is a few lines here.

A step is a function of the seed and its number alone: before each one everything random is seeded
anew. So a checkpoint holds networks, averages, optimizers and the position in the data, and a run
that is killed ends with the weights that it would have ended with.
"""
