"""What `dubflow inspect` asks for and its server does not do itself: each in a process."""
