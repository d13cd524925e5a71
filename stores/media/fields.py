"""Interlaced pictures: a frame whose even and odd rows (fields) were shot one after the other.

Faces are found and mouths are made on progressive pictures, one for each frame; the change is then
pasted into the interlaced frame, so that all rows outside the mouth keep the moment they show.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction

from av.filter import Graph
from av.video.frame import VideoFrame

from stores.media.planes import plane_view

TOP_FIRST, BOTTOM_FIRST, PROGRESSIVE = "tff", "bff", "progressive"
"""Which field is shown first, as the encoders call it."""

_FIELD_CODES = {PROGRESSIVE: 1, TOP_FIRST: 2, BOTTOM_FIRST: 3}


def field_order(frame: VideoFrame) -> str:
    """Name the order that a decoded frame's flags say, which are seen by filters only."""
    if not frame.interlaced_frame:
        return PROGRESSIVE
    marked = frame.reformat(width=32, height=32, format="gray")
    marked.make_writable()
    rows = plane_view(marked, 0)
    rows[0::2], rows[1::2] = 0, 255
    field = next(_filtered([marked], "separatefields"))
    return BOTTOM_FIRST if plane_view(field, 0).any() else TOP_FIRST


def order_code(field_order: str) -> int:
    """The code that the libraries have for an order."""
    return _FIELD_CODES[field_order]


def deinterlaced(frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
    """Make a progressive picture of each frame, at the moment of its first field.

    The filter looks at the frame before and the one after; frames that their flags call
    progressive pass as they are.
    """
    return _filtered(frames, "bwdif", "mode=send_frame:deint=interlaced")


def flagged(frames: Iterable[VideoFrame], field_order: str) -> Iterator[VideoFrame]:
    """Set the flags by which an encoder knows the order of a frame's fields."""
    return _filtered(frames, "setfield", f"mode={field_order}")


def _filtered(
    frames: Iterable[VideoFrame], name: str, options: str | None = None
) -> Iterator[VideoFrame]:
    """Run frames of one size through a filter that gives as many."""
    graph: Graph | None = None
    pushed = pulled = 0
    for frame in frames:
        if graph is None:
            graph = Graph()
            source = graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=Fraction(1, 25),
            )
            chain = (source, graph.add(name, options), graph.add("buffersink"))
            graph.link_nodes(*chain).configure()
        frame.pts, frame.time_base = pushed, Fraction(1, 25)
        graph.vpush(frame)
        pushed += 1
        while (made := _pull(graph)) is not None:
            pulled += 1
            yield made
    if graph is not None:
        graph.vpush(None)
        while pulled < pushed and (made := _pull(graph)) is not None:
            pulled += 1
            yield made


def _pull(graph: Graph) -> VideoFrame | None:
    try:
        return graph.vpull()
    except (BlockingIOError, EOFError):
        return None
