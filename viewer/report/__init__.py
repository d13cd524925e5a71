"""The report of an evaluation: plain data in, one HTML page and one Markdown text out."""
