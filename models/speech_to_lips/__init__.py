"""Speech → mouth motion: the trained model of the default method and its use."""
