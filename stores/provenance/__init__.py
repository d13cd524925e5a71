"""Who made a file, of what and how: signed manifests (C2PA), keys, consent."""
