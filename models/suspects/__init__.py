"""Places of a dub that deserve a look, found by plain rules over arrays of what was measured.

Each rule gives `Suspect`s; the rows are those of the output. Its limit is a constant beside it.
How the limits were chosen: thirteen dubs by the default method, of thirteen training persons (108
s), with speech of others. A limit lies where these clean dubs stay below it but for few places a
minute, and dubs of the same persons that were damaged on purpose (`benchmarks/suspects.py`) lie
above. docs/inspect_suspects.md has the figures, and says which rules were changed after a look at
validation clips.
"""
