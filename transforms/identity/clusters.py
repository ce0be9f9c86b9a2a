"""Groups of nodes joined into clusters on the driver, keeping apart what was judged different."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

CLUSTERS = pa.schema([("node", pa.string()), ("cluster", pa.int64()), ("rank", pa.int64())])
ALONE = 99
Ints = NDArray[np.int64]
Group = tuple[int, list[int]]
Number = tuple[str, str]  # country, number


def clusters(groups: pa.Table, different: pa.Table, numbers: pa.Table | None = None, weak: int = ALONE) -> pa.Table:
    """Give each node of `groups` (node, rank, value) its cluster, and the best rank by which it hangs on it.

    No cluster holds both nodes of a pair (left, right) of `different`, and no group of rank `weak` or beyond brings
    nodes together whose `numbers` (node, country, number) differ within a country. A cluster that is against that is
    built again from its groups, best rank first, leaving out each step that would be. The result does not depend on
    the order of rows; the cluster numbers mean nothing beyond this call. A node that ends up without company has the
    rank `ALONE`.
    """
    if groups.num_rows == 0:
        return CLUSTERS.empty_table()
    ordered = groups.sort_by([("rank", "ascending"), ("value", "ascending"), ("node", "ascending")])
    names, member = _encode(ordered["node"])
    _, group = _encode(pc.binary_join_element_wise(ordered["rank"].cast(pa.string()), ordered["value"], "|"))
    cluster = _components(member, group, len(names))
    best = np.full(len(names), ALONE, dtype=np.int64)
    rank = ordered["rank"].to_numpy().astype(np.int64)
    np.minimum.at(best, member, rank)
    pairs = _forbidden(different, names, cluster)
    conflicting = _conflicting(numbers, names, cluster) if numbers is not None else {}
    if pairs or conflicting:
        torn = np.isin(
            cluster[member], [*{int(cluster[index]) for index in (*(first for first, _ in pairs), *conflicting)}]
        )
        _rebuild(_grouped(rank[torn], group[torn], member[torn]), _Parts(pairs, conflicting, weak), cluster, best)
    return pa.table([names, pa.array(cluster), pa.array(best)], schema=CLUSTERS)


def _encode(texts: pa.ChunkedArray) -> tuple[pa.Array, Ints]:
    coded = texts.combine_chunks().dictionary_encode()
    return coded.dictionary, coded.indices.to_numpy().astype(np.int64)


def _components(member: Ints, group: Ints, count: int) -> Ints:
    """Find the connected components of the graph of nodes and groups."""
    total = count + int(group.max()) + 1
    graph = coo_array((np.ones(len(member), np.int8), (member, group + count)), shape=(total, total))
    labels: Ints = connected_components(graph.tocsr(), directed=False)[1][:count].astype(np.int64)
    return labels


def _forbidden(different: pa.Table, names: pa.Array, cluster: Ints) -> list[tuple[int, int]]:
    """List the forbidden pairs that have come together."""
    ends = (pc.index_in(different[end], names).to_pylist() for end in ("left", "right"))
    indexed = [(first, second) for first, second in zip(*ends, strict=True) if first is not None and second is not None]
    return [(first, second) for first, second in indexed if first != second and cluster[first] == cluster[second]]


def _conflicting(numbers: pa.Table, names: pa.Array, cluster: Ints) -> dict[int, Number]:
    """Find the numbers of the nodes in clusters that hold more than one of a country."""
    positions = pc.index_in(numbers["node"].combine_chunks(), names)
    is_clustered = pc.is_valid(positions)
    at = pc.fill_null(positions, 0).to_numpy().astype(np.int64)
    clustered = (
        numbers.append_column("at", pa.array(at)).append_column("cluster", pa.array(cluster[at])).filter(is_clustered)
    )
    counted = clustered.group_by(["cluster", "country"]).aggregate([("number", "count_distinct")])
    several = counted.filter(pc.greater(counted["number_count_distinct"], 1))
    rows = clustered.filter(pc.is_in(clustered["cluster"], several["cluster"].combine_chunks())).to_pylist()
    return {row["at"]: (row["country"], row["number"]) for row in rows}


def _grouped(rank: Ints, group: Ints, member: Ints) -> list[Group]:
    """Gather the members of each group, in the order of the rows."""
    ranks: dict[int, int] = {}
    members: dict[int, list[int]] = defaultdict(list)
    for its_rank, number, name in zip(rank.tolist(), group.tolist(), member.tolist(), strict=True):
        ranks[number] = its_rank
        members[number].append(name)
    return [(ranks[number], gathered) for number, gathered in members.items()]


def _rebuild(groups: list[Group], parts: "_Parts", cluster: Ints, best: Ints) -> None:
    """Join the groups again without what is forbidden, in place."""
    for rank, members in groups:
        parts.join(members, rank)
    fresh = int(cluster.max()) + 1
    touched = {name for _, members in groups for name in members}
    for name in touched:
        cluster[name] = fresh + parts.root(name)
        best[name] = ALONE
    for rank, members in groups:
        together = Counter(parts.root(name) for name in members)
        for name in members:
            if together[parts.root(name)] > 1:
                best[name] = min(int(best[name]), rank)


class _Parts:
    """Join nodes step by step, refusing each step that would bring together what is forbidden."""

    def __init__(self, pairs: Iterable[tuple[int, int]], numbers: Mapping[int, Number], weak: int) -> None:
        self._root: dict[int, int] = {}
        self._members: dict[int, set[int]] = {}
        self._foes: dict[int, set[int]] = defaultdict(set)
        self._numbers = defaultdict(set, {name: {number} for name, number in numbers.items()})
        self._weak = weak
        for first, second in pairs:
            self._foes[first].add(second)
            self._foes[second].add(first)

    def root(self, name: int) -> int:
        return self._root.setdefault(name, name)

    def join(self, members: Sequence[int], rank: int) -> None:
        """Join each member to those of the earlier parts that it may be with."""
        earlier: list[int] = []
        for name in members:
            for part in earlier:
                self._unite(self.root(part), self.root(name), rank)
            earlier = list(dict.fromkeys(self.root(part) for part in [*earlier, name]))

    def _unite(self, first: int, second: int, rank: int) -> None:
        if first == second or self._is_refused(first, second, rank):
            return
        mine, theirs = (self._members.get(root, {root}) for root in (first, second))
        kept, moved = (first, second) if len(mine) >= len(theirs) else (second, first)
        for name in mine if kept == second else theirs:
            self._root[name] = kept
        self._members[kept] = mine | theirs
        self._foes[kept] = self._foes[first] | self._foes[second]
        self._numbers[kept] = self._numbers[first] | self._numbers[second]
        self._members.pop(moved, None)

    def _is_refused(self, first: int, second: int, rank: int) -> bool:
        if self._foes[first] & self._members.get(second, {second}):
            return True
        mine, theirs = self._numbers[first], self._numbers[second]
        shared = {country for country, _ in mine} & {country for country, _ in theirs}
        return rank >= self._weak and bool(shared - {country for country, _ in mine & theirs})
