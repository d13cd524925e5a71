"""Face parsing, a class label for each pixel of a face: ParseNet."""
