"""Which pixel of a face shows what: ParseNet and BiSeNet."""
