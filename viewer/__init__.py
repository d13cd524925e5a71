"""Looking at artifacts: reads the store, changes nothing."""
