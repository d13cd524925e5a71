"""SyncNet (Chung and Zisserman, 2016): lip and sound embeddings, and the LSE metrics on them."""
