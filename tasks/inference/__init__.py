"""Networks run over stored data: which device, how many samples at once, in which precision."""
