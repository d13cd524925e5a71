#!/bin/sh
# Guess:    mediapipe's face mesh is drawn the same on both sides of the nose: mirrored, its edges
#           (FACEMESH_TESSELATION) fall on themselves.
# Happens:  all but 6 of its 1322 edges do. In three places (two at the nostril, one at the corner of
#           the eye) the four points on either side are joined by the other diagonal, so triangles
#           of one side have no mirror image. Without these six, each of 440 points has exactly one
#           partner that is joined to the others in the same way, and 28 are their own.
# Versions: mediapipe 0.10.21
# Source:   mediapipe/python/solutions/face_mesh_connections.py, which is read here as it lies in the
#           package. https://github.com/google-ai-edge/mediapipe/issues/3484 saw that it differs from
#           the canonical face model.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-deps mediapipe==0.10.21
"$folder/venv/bin/python" - <<'PYTHON'
import runpy
from collections import Counter, defaultdict
from importlib.metadata import distribution

mediapipe = distribution("mediapipe")
print("mediapipe", mediapipe.version)
connections = "mediapipe/python/solutions/face_mesh_connections.py"
drawn = runpy.run_path(str(mediapipe.locate_file(connections)))
edges = {frozenset(edge) for edge in drawn["FACEMESH_TESSELATION"]}
DIAGONALS = {(79, 238), (250, 459), (75, 166), (289, 290), (161, 247), (260, 466)}


def alike(edges):
    """Points in groups that can't be told apart by how they are joined to each other group."""
    near = defaultdict(set)
    for a, b in edges:
        near[a].add(b)
        near[b].add(a)
    group, number = dict.fromkeys(near, 0), 1
    while True:
        joined = {p: (group[p], *sorted(group[q] for q in near[p])) for p in near}
        names = {one: index for index, one in enumerate(sorted(set(joined.values())))}
        group = {p: names[joined[p]] for p in near}
        if len(names) == number:
            break
        number = len(names)
    groups = defaultdict(list)
    for p, name in group.items():
        groups[name].append(p)
    return list(groups.values())


print("guessed: groups of two, a point and its partner; and of one, on the line of the nose")
sizes = Counter(map(len, alike(edges)))
print("seen, all edges: groups by size", dict(sizes))
rest = alike(edges - set(map(frozenset, DIAGONALS)))
without = Counter(map(len, rest))
print("seen, without six edges: groups by size", dict(without))
partner = {p: q for group in rest for p, q in zip(group, group[::-1])}
eyes = [{p for edge in drawn[f"FACEMESH_{side}_EYE"] for p in edge} for side in ("LEFT", "RIGHT")]
swapped = {partner[p] for p in eyes[0]} == eyes[1]
print("the partners of the left eye's outline are the right eye's:", swapped)
odd = {e for e in edges if frozenset(partner[p] for p in e) not in edges}
for edge in sorted(map(sorted, odd)):
    print("  edge", edge, "is there, its mirror image", sorted(partner[p] for p in edge), "is not")
if (
    sizes != {1: 468}
    or without != {1: 28, 2: 220}
    or not swapped
    or {tuple(sorted(edge)) for edge in odd} != DIAGONALS
    or len(edges) != 1322
):
    raise SystemExit("this has changed: the finding no longer holds")
PYTHON
