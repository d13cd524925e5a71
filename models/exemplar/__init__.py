"""The default method: mouths for new speech out of the speaker's own frames.

Order of work: `bank` (which source frames are kept, after `faces.occlusion` has said which show a
free mouth) → `lenders` (which of them each output frame borrows, by the distances of `shapes`) →
`render` (warp to the predicted shape); `faces.blend` puts the result into the frame.
"""
