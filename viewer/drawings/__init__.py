"""Drawings of artifacts and runs: contact sheets, plots, videos, one page of a whole run."""
