"""Parts of `dubflow prepare`: settings, what is done to one clip, filters and the report."""
