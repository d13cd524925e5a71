"""Stages: each reads artifacts, calls models, and makes one artifact."""
