"""Meta Talk: talking faces learned from one short video of a person (Zhang et al., 2022).

Built on AudioDVP (`models.audiodvp`); there is no public implementation.
"""
