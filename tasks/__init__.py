"""Stages: each reads artifacts, calls models, and makes one artifact."""

import pkgutil

__path__ = pkgutil.extend_path(__path__, __name__)
