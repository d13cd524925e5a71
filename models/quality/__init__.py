"""How suitable a clip is for training: measures of its faces and sound, and its usable parts."""
