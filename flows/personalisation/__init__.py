"""The steps of a personalisation, each resumable by itself."""
