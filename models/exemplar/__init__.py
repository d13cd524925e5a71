"""The default method: mouths for new speech out of the speaker's own frames.

Order of work: `crop` (aligned lower faces, the bank) → `occlusion` (which frames show a free
mouth) → `path` (which bank row each frame borrows) → `render` (warp to the predicted shape) →
`blend` (colour match, composite).
"""
