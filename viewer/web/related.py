"""What in the store was made of what: every manifest's inputs, each read once."""

from threading import Lock

from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.errors import StoreError

Item = tuple[str, str]
"""Kind and key; of a source file, "source" and the key of its bytes."""


class Related:
    """Inputs of the artifacts of a store. Safe for threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._inputs: dict[Item, tuple[Item, ...]] = {}
        self._lock = Lock()

    def used_by(self, item: Item) -> list[Item]:
        """Artifacts that were made directly of this one."""
        return [user for user in self._store.committed() if item in self._of(user)]

    def made_of(self, item: Item, kinds: str) -> list[Artifact]:
        """Artifacts, of kinds whose names begin so, that were made of it, however indirectly.

        Args:
            item: An artifact, or a source file.
            kinds: Beginning of their names.
        """
        names = [kind for kind in self._store.backend.folders("") if kind.startswith(kinds)]
        users = ((kind, key) for kind in names for key in self._store.backend.committed(kind))
        found = [self._store.find(*user, check=False) for user in users if self._leads(user, item)]
        return [artifact for artifact in found if artifact is not None]

    def _leads(self, user: Item, item: Item) -> bool:
        return any(given == item or self._leads(given, item) for given in self._of(user))

    def _of(self, user: Item) -> tuple[Item, ...]:
        if user[0] == "source":
            return ()
        with self._lock:
            if user not in self._inputs:
                try:
                    artifact = self._store.find(*user, check=False)
                except StoreError:
                    artifact = None
                if artifact is None:
                    return ()
                self._inputs[user] = tuple(artifact.manifest.inputs.values())
            return self._inputs[user]
