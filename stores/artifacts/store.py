"""The artifact store: the only cache, and the only place where anything is kept.

<root>/<kind>/<key[:2]>/<key>/    Zarr v3 group and manifest.json; no manifest, no artifact
<root>/staging/<kind>-<key>/      an artifact in the making, and its .done markers and .lock
<root>/in-use/, collecting.lock   who works on an object store
<root>/runs/<id>.json             what a finished run made and used; roots for the collector
<root>/catalog.parquet            a table of all artifacts, for people and their tools
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from stores.artifacts.artifact import Artifact
from stores.artifacts.builder import Builder, Derivation
from stores.backends.backend import Backend, LocalBackend, explain_unreadable
from stores.backends.manifest import Manifest
from stores.errors import DamagedArtifact, StoreError

NOT_KINDS = frozenset({"staging", "runs", "in-use"})


def _say_nothing(_damage: DamagedArtifact) -> None:
    return


class Store:
    """Artifacts by kind and content key.

    Raises:
        StoreError: for a URL whose scheme is not supported.
    """

    def __init__(self, url: str | Path) -> None:
        self.backend = _backend(str(url))

    @property
    def url(self) -> str:
        """What `Store(url)` opens again."""
        return self.backend.url

    def find(self, kind: str, key: str, *, check: bool = True) -> Artifact | None:
        """The committed artifact; None if there is none.

        Args:
            check: Compare the size of every file with the manifest, as whoever builds on it must.
                To look at a part of a long artifact, it takes too long.

        Raises:
            DamagedArtifact: it was committed, but is no longer what it was.
            StoreError: it can't be read, or is of a newer Dubflow.
        """
        prefix = _prefix(kind, key)
        try:
            with explain_unreadable(f"{kind} {key}"):
                content, sizes = self.backend.manifest(prefix)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except IsADirectoryError as error:
            raise DamagedArtifact(kind, key, "its manifest is a folder") from error
        try:
            manifest = Manifest.from_json(content.decode())
        except ValueError as error:
            raise DamagedArtifact(kind, key, f"its manifest is {error}") from error
        artifact = Artifact(self.backend, prefix, manifest)
        if check:
            artifact.check_sizes(sizes)
        return artifact

    def get(self, kind: str, key: str) -> Artifact:
        """As `find`.

        Raises:
            StoreError: there is no such artifact.
        """
        artifact = self.find(kind, key)
        if artifact is None:
            raise StoreError(f"the store {self.url} has no {kind} {key}")
        return artifact

    @contextmanager
    def building(
        self, derivation: Derivation, on_damage: Callable[[DamagedArtifact], None] = _say_nothing
    ) -> Iterator[Artifact | None]:
        """The sole right to build a key; holds the artifact if another process was faster.

        Waits while another process builds the same key.

        Args:
            derivation: What to build.
            on_damage: Told of an artifact that was damaged, and has been taken out to be built
                again.
        """
        kind, key = derivation.schema.kind, derivation.key
        with self.backend.building(derivation.name):
            try:
                artifact = self.find(kind, key)
            except DamagedArtifact as damage:
                self.remove(kind, key)
                on_damage(damage)
                artifact = None
            yield artifact

    def builder(self, derivation: Derivation, sizes: Mapping[str, int]) -> Builder:
        """Writes the derivation's arrays; `sizes` are those that the schema leaves open."""
        return Builder(
            self.backend, derivation, sizes, _prefix(derivation.schema.kind, derivation.key)
        )

    def in_use(self) -> AbstractContextManager[None]:
        """Hold while working, so that nothing is collected meanwhile."""
        return self.backend.in_use()

    def committed(self) -> Iterator[tuple[str, str]]:
        """Kind and key of every committed artifact, damaged ones too."""
        for kind in self._kinds():
            for key in self.backend.committed(kind):
                yield kind, key

    def unfinished(self) -> list[str]:
        """Prefixes of what was begun and is not committed; meaningful while nothing runs."""
        return self.backend.unfinished(self._kinds())

    def match(self, text: str) -> Artifact:
        """The one artifact whose key, or `kind/key`, begins with `text`.

        Raises:
            StoreError: none or several match.
        """
        kind, _, start = text.rpartition("/")
        kinds = (kind,) if kind else tuple(self.backend.folders(""))
        found = [(k, key) for k, key in self.committed() if k in kinds and key.startswith(start)]
        if len(found) == 1:
            return self.get(*found[0])
        if not found:
            raise StoreError(
                f"no artifact begins with {text!r}; `dubflow artifacts list` shows all"
            )
        some = ", ".join(f"{k}/{key[:12]}" for k, key in found[:5])
        raise StoreError(f"{len(found)} artifacts begin with {text!r}: {some}; give more digits")

    def remove(self, kind: str, key: str) -> None:
        """Take an artifact out; it disappears at once."""
        self.backend.delete(_prefix(kind, key))

    def _kinds(self) -> list[str]:
        return [kind for kind in self.backend.folders("") if kind not in NOT_KINDS]


def _prefix(kind: str, key: str) -> str:
    return f"{kind}/{key[:2]}/{key}"


def _backend(url: str) -> Backend:
    scheme, separator, rest = url.partition("://")
    if not separator:
        return LocalBackend(Path(url).expanduser().absolute())
    if scheme == "file":
        return LocalBackend(Path(rest))
    if scheme in ("s3", "memory"):
        from stores.backends.objects import ObjectBackend

        return ObjectBackend(url)
    raise StoreError(f"no store can be opened at {url}: a store is a folder, file:// or s3://")
