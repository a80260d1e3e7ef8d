"""A curve at the size asked for: which points make a group, and what each group says.

The range asked for is a number of served rows, cut into `most` equal shares; a group is the points of one share.
Where there are many points a share, its edge may move up to the end of the bucket it falls in, if no row moved lies a
quarter of a share or more behind it; then the group is made of whole buckets of one level. Elsewhere edges stay exact,
and a group's ends are made of ever finer buckets and at last of single points. So the cost is bounded by the groups,
however irregular the column, and the first point of a group always lies in its own share.
"""

from __future__ import annotations

import numpy as np

from runwised.formats.record import Ints
from runwised.index.aggregates import Aggregates, concatenate, merge, of_points
from runwised.index.buckets import bucket_count, level_count, width
from runwised.index.column import Column
from runwised.index.view import Buckets


def sample(column: Column, most: int, start: int, stop: int) -> Buckets:
    """As `view.Table.sample`, for a column and positions [start, stop)."""
    first, end = column.presence.point(start), column.presence.point(stop)
    level = level_for(end - first, most)
    shares = start + -(-np.arange(1, most, dtype=np.int64) * (stop - start) // most)
    if level is None:
        inner = _exact(column, shares, first, end)
    elif column.presence.rows is None:
        inner = _snap(_within(shares - column.presence.start, first, end), width(level), end)
    else:
        inner = _moved(column, level, shares, first, end, start, stop - start)
    edges = np.concatenate([[first], inner, [end]])
    slots = np.flatnonzero(edges[:-1] < edges[1:])
    return _groups(column, level, slots, edges[slots], edges[slots + 1])


def level_for(points: int, most: int) -> int | None:
    """The coarsest level with at least four buckets a share; None when single points are few enough."""
    levels = level_count(points // most)
    return levels - 1 if levels else None


def _snap(points: Ints, bucket: int, end: int) -> Ints:
    """Move edges up to the next multiple of `bucket`, but not beyond `end`."""
    return np.minimum(-(-points // bucket) * bucket, end)


def _within(points: Ints, first: int, end: int) -> Ints:
    return np.minimum(np.maximum(points, first), end)


def _exact(column: Column, shares: Ints, first: int, end: int) -> Ints:
    """The first point at or behind each position of `shares`."""
    presence = column.presence
    if presence.rows is None:
        return _within(shares - presence.start, first, end)
    numbers = presence.pieces.numbers_at(shares)
    return first + np.searchsorted(presence.rows.slice(first, end), numbers)


def _moved(column: Column, level: int, shares: Ints, first: int, end: int, start: int, length: int) -> Ints:
    """Edges for a column with row numbers: at bucket ends where that is near enough, else exact."""
    rows, pieces = column.presence.rows, column.presence.pieces
    assert rows is not None
    bucket = width(level)
    indices = np.arange(first // bucket, bucket_count(end, level))
    last_rows = column.last_rows(level, indices)
    numbers = pieces.numbers_at(shares)
    found = np.searchsorted(last_rows, numbers)
    beyond = found == len(indices)
    found[beyond] = len(indices) - 1
    at = indices[found]
    aligned = column.first_rows(level, at) >= numbers
    most = len(shares) + 1
    reach = most * (pieces.positions_of(last_rows[found]) - start) - np.arange(1, most) * length
    alone = np.concatenate([at[:1] > first // bucket, at[1:] > at[:-1]])
    movable = alone & (4 * reach < length)
    edges = np.where(aligned, at, at + 1) * bucket
    for edge in np.flatnonzero(~(aligned | beyond | movable)).tolist():
        low = max(first, int(at[edge]) * bucket)
        edges[edge] = rows.find(int(numbers[edge]), low, min(end, int(at[edge] + 1) * bucket))
    return np.where(beyond, end, np.minimum(edges, end))


def _groups(column: Column, level: int | None, slots: Ints, starts: Ints, stops: Ints) -> Buckets:
    if not len(slots):
        parts = Aggregates(np.empty(0), np.empty(0), np.empty(0), slots)
    elif level is None:
        parts = of_points(column.values.slice(int(starts[0]), int(stops[-1])), starts - starts[0])
    else:
        parts = _of_buckets(column, level, starts, stops)
    firsts, lasts = column.opening(starts, level), column.closing(stops, level)
    counts = stops - starts
    empty = parts.finite == 0
    return Buckets(
        slot=slots,
        n=counts,
        nonfinite=counts - parts.finite,
        min=np.where(empty, np.nan, parts.low),
        max=np.where(empty, np.nan, parts.high),
        mean=np.where(empty, np.nan, np.minimum(np.maximum(parts.mean, parts.low), parts.high)),
        first=firsts.values,
        last=lasts.values,
        row_from=firsts.rows,
        row_to=lasts.rows,
        step_from=firsts.steps,
        step_to=lasts.steps,
        time_from=firsts.times,
        time_to=lasts.times,
    )


def _of_buckets(column: Column, level: int, starts: Ints, stops: Ints) -> Aggregates:
    """Aggregate the points [starts[i], stops[i]), which follow one another, from the coarsest buckets that fit."""
    bucket, end = width(level), int(stops[-1])
    if not (starts % bucket).any() and (end == column.count or not end % bucket):
        begins = starts // bucket
        return merge(column.buckets.span(level, int(begins[0]), bucket_count(end, level)), begins - begins[0])
    parts, places = _parts(column, level, starts, stops)
    place = np.concatenate(places)
    order = np.argsort(place, kind="stable")
    return merge(concatenate(parts).take(order), np.searchsorted(place, starts, sorter=order))


def _parts(column: Column, level: int, starts: Ints, stops: Ints) -> tuple[list[Aggregates], list[Ints]]:
    """Whole buckets at or below `level`, and single points, that make up [starts[i], stops[i]); where each begins."""
    parts: list[Aggregates] = []
    places: list[Ints] = []
    lows, highs = starts, stops
    for finer in range(level, -1, -1):
        bucket = width(finer)
        begin = -(-lows // bucket)
        end = np.where(highs == column.count, bucket_count(column.count, finer), highs // bucket)
        whole = begin < end
        indices = _ranges(begin[whole], end[whole])
        if finer < level:
            indices.sort()
        parts.append(column.buckets.aggregates(finer, indices))
        places.append(indices * bucket)
        rests = np.where(whole, begin * bucket, highs), np.where(whole, np.minimum(end * bucket, highs), highs)
        lows, highs = np.concatenate([lows, rests[1]]), np.concatenate([rests[0], highs])
        left = lows < highs
        lows, highs = lows[left], highs[left]
        if not len(lows):
            break
    else:
        points = np.sort(_ranges(lows, highs))
        parts.append(of_points(column.values.take(points), np.arange(len(points))))
        places.append(points)
    return parts, places


def _ranges(starts: Ints, stops: Ints) -> Ints:
    """All whole numbers in [starts[i], stops[i]), one range after the other."""
    counts = stops - starts
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(counts.sum())
