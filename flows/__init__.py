"""Flows: what runs after what, and the command."""

import pkgutil

__path__ = pkgutil.extend_path(__path__, __name__)
