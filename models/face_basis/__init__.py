"""The project's own face basis: what it is made of, and how it becomes a `FaceBasis`."""
