"""Stages that one method alone needs: a file for each method."""

import pkgutil

__path__ = pkgutil.extend_path(__path__, __name__)
