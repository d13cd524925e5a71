"""Blinded ratings by people: what is asked, the page that asks it, and what came of it."""
