"""From raw detections to the face that is dubbed: linking into tracks, choosing, smoothing."""
