"""How good a clip is to learn from: pure measures of faces and sound, and its parts."""
