"""Tables of events of the parts that stages are made of.

The waits are those in the docstrings of :mod:`rtl4ml.hdl`; what a table is and the names of events are in
:mod:`rtl4ml.stages.events`.
"""

from collections.abc import Sequence

import numpy as np

from rtl4ml.errors import ConfigurationError
from rtl4ml.hdl.frame_store import is_stored
from rtl4ml.hdl.width_adapter import words_awaited, words_before
from rtl4ml.stages.events import NEVER, Process, Side, Table, Timing, Wait, beats_name, offer_name


def earlier(index: Table, events: int, which: Table) -> Table:
    """Entries of a table of a frame's events, also for places in frames before.

    Args:
        index: int64 (n,), events of a process with `events` a frame.
        events: of that process.
        which: int64 (m,), places in `index`; negative ones are in frames before.
    """
    frames, place = np.divmod(which, len(index))
    return np.asarray(index[place] + frames * events, np.int64)


def adapter(side: Side, number: int, taken: Wait, events: int) -> tuple[Process, Wait]:
    """Beats of a stream in and the words that become of them, in a width adapter where their lanes differ.

    Args:
        side: the stream.
        number: which of the stage's.
        taken: with an entry for every word of a frame: the event that takes the word. The stream waits for nothing
            else.
        events: of a frame of the process that takes words.

    Returns:
        The transfers of beats; and, for every word of a frame, when it is valid: what the event that takes it waits
        for.
    """
    sizes = side.n, side.lanes_in, side.lanes
    words, beats = side.words, side.beats
    if side.lanes_in == side.lanes:
        return Process(beats_name(number), beats, (taken,)), Wait(offer_name(number), np.arange(words))
    # A beat waits for the handover, at the same edge, of the words that stand in its way.
    awaited = np.array([words_awaited(beat, *sizes) for beat in range(beats)]) - 1
    delay = taken.delay if isinstance(taken.delay, int) else taken.delay[awaited]
    transfers = Process(beats_name(number), beats, (Wait(taken.on, earlier(taken.index, events, awaited), delay),))
    complete = np.array([words_before(beat + 1, *sizes) for beat in range(beats)])
    last_beat = np.searchsorted(complete, np.arange(words), side="right")
    return transfers, Wait(beats_name(number), last_beat, 1)


def take(
    name: str, sides: Sequence[Side], waits: Sequence[Wait] = (), gap: int | Table = 1
) -> tuple[tuple[Process, ...], str]:
    """Events that take a word of every stream, all at once.

    Args:
        name: of these events.
        sides: streams of equally many words a frame.
        waits: further ones, with an entry for every word of a frame.
        gap: edges between words.

    Returns:
        The processes, and the name of the one whose events are the words: `name`, or `in0` where the first stream needs
        no adapter, which saves a process.
    """
    words = sides[0].words
    if sides[0].lanes_in == sides[0].lanes:
        name = beats_name(0)
    transfers = []
    offers = []
    for number, side in enumerate(sides):
        if beats_name(number) != name:
            transfer, offered = adapter(side, number, Wait(name, np.arange(words)), words)
            transfers.append(transfer)
            offers.append(offered)
    return (*transfers, Process(name, words, (*waits, *offers), gap)), name


def credits(beats: Table, slots: int | None) -> tuple[Wait, ...]:
    """Wait of events that spend a credit of the FIFO of `slots` beats at the output; none without a FIFO.

    Args:
        beats: int64 (events,), the beat out that the credit is for; `NEVER`: none is spent.
        slots: beats that the FIFO holds.
    """
    if slots is None:
        return ()
    return (Wait("out", np.where(beats == NEVER, NEVER, np.maximum(beats, NEVER + slots) - slots), 1),)


def beats_of_passes(beats: int | Table, passes: int) -> tuple[Table, Table, Table]:
    """Beats out of passes that make several, one after the other, and spend their credits at once.

    Args:
        beats: of a pass; for all, or int64 (k,), which repeat.
        passes: of a frame.

    Returns:
        int64 (passes,), the beat whose credit each waits for: as if it made as many as any; and for each beat its pass
        and its place among those of the pass.
    """
    made = np.resize(beats, passes).astype(np.int64)
    firsts = np.cumsum(made) - made
    owner = np.repeat(np.arange(passes), made)
    return firsts + made.max() - 1, owner, np.arange(made.sum()) - firsts[owner]


def replayed(
    sides: Sequence[Side],
    *,
    depth: int,
    slots: int | None,
    rounds: int = 1,
    words: int = 1,
    passes: int = 1,
    beats: int | Table = 1,
) -> Timing:
    """Timing of a frame store and a pipeline behind it (:mod:`rtl4ml.hdl.frame_store`).

    A frame goes through `rounds` rounds. A round has `words` words, issued `passes` times in order; each pass makes
    `beats` beats of the output, handed to the FIFO at consecutive edges.

    Args:
        sides: streams in, a word of each of which is taken at once.
        depth: edges from the issue of a pass' last word to the edge that writes its first beat into the FIFO.
        slots: beats that the FIFO holds; None: there is no FIFO and no back-pressure.
        rounds: rounds a frame.
        words: words a round.
        passes: passes over the words of a round.
        beats: of the output, a pass; for all, or int64 (passes,), which repeat. More than one need more words than one.
    """
    issue = "issue"
    turns = np.arange(rounds * passes)
    rounds_of, passes_of = np.divmod(turns, passes)
    credit, owner, place = beats_of_passes(beats, len(turns))
    delay = depth + 1 + place if place.any() else depth + 1
    ends = np.arange(rounds) * words + words - 1
    if is_stored(words, passes):
        # Room for two rounds: a word waits for the last issue of the round before the one before.
        released = np.repeat((np.arange(rounds) - 1) * passes - 1, words)
        taking, taken = take("words", sides, (Wait(issue, released, 1),))
        # An event is the last issue of a pass. The words before it follow each other without a gap or wait for their
        # own writing: the last is then not earlier than an edge after its writing either way.
        first = Wait(taken, np.where(passes_of == 0, ends[rounds_of], NEVER), 1)
        processes = (*taking, Process(issue, len(turns), (first, *credits(credit, slots)), words))
        result = Wait(issue, owner, delay)
    elif passes > 1:
        # One register: the edge that takes the word issues it for the first time.
        firsts = np.arange(rounds) * passes
        taking, taken = take("words", sides, (Wait(issue, firsts - 1, 1), *credits(firsts, slots)))
        first = Wait(taken, np.where(passes_of == 0, rounds_of, NEVER))
        spent = credits(np.where(passes_of == 0, NEVER, turns), slots)
        processes = (*taking, Process(issue, len(turns), (first, *spent)))
        result = Wait(issue, turns, depth + 1)
    else:
        spent_for = np.full(rounds * words, NEVER)
        spent_for[ends] = credit
        processes, issue = take(issue, sides, credits(spent_for, slots))
        result = Wait(issue, ends[owner], delay)
    return Timing(tuple(sides), processes, result, rounds * words * passes, depth, slots)


def gathered(sides: Sequence[Side], *, lengths: Table, depth: int, slots: int | None) -> Timing:
    """Timing of a store with passes of different lengths (:mod:`rtl4ml.hdl.gather_store`) and a pipeline behind it.

    A frame is issued in passes when it has been written to the end; each pass makes a beat of the output.

    Args:
        sides: streams in, a word of each of which is written at once.
        lengths: int64 (passes,), words of each pass.
        depth: edges from the issue of a pass' last word to the edge that writes its beat into the FIFO.
        slots: beats that the FIFO holds; None: there is no FIFO and no back-pressure.
    """
    passes = len(lengths)
    words = sides[0].words
    # Room for two frames: a word waits for the last issue of the frame before the one before.
    taking, taken = take("words", sides, (Wait("issue", np.full(words, -passes - 1), 1),))
    last = np.full(passes, NEVER)
    last[0] = words - 1
    # An event is the last issue of a pass; see `replayed`.
    written = Wait(taken, last, int(lengths[0]))
    issue = Process("issue", passes, (written, *credits(np.arange(passes), slots)), lengths)
    result = Wait("issue", np.arange(passes), depth + 1)
    return Timing(tuple(sides), (*taking, issue), result, max(int(lengths.sum()), words), depth, slots)


def windowed(
    sides: Sequence[Side],
    *,
    needs: Table,
    releases: Table,
    unit_words: int,
    pass_words: int | Table,
    depth: int,
    slots: int | None,
    beats: int | Table = 1,
    gap: int = 1,
) -> Timing:
    """Timing of a buffer of windows and a pipeline behind it (:mod:`rtl4ml.hdl.window_buffer`).

    A frame is issued in units of `unit_words` words, these in passes of `pass_words`, without a gap within a unit but
    where a pass' last word waits for credits. Each pass makes `beats` beats of the output, handed to the FIFO at
    consecutive edges; its last issue spends the credits of all of them, when there are as many as any pass spends.

    Args:
        sides: streams in, a word of each of which is written at once.
        needs: int64 (units,), words of the frame that are written before a unit begins.
        releases: int64 (words in,), issue of a word, counted from the frame's first, after which a word in can be
            written; negative: of frames before; `NEVER`: none.
        unit_words: words of a unit.
        pass_words: words of a pass; for all, or int64 (passes,), which repeat.
        depth: edges from the issue of a pass' last word to the edge that writes its first beat into the FIFO.
        slots: beats that the FIFO holds; None: there is no FIFO and no back-pressure.
        beats: of the output, a pass; for all, or int64 (passes,), which repeat.
        gap: edges from a word to the next; more than one only where a word is a pass.

    Raises:
        ConfigurationError: units are not whole passes.
    """
    lengths = np.atleast_1d(pass_words)
    if unit_words % lengths.sum():
        raise ConfigurationError(f"Units must be whole passes of {pass_words} words, not {unit_words} words")
    # An event is the last issue of a pass, unless the end of an earlier one is waited for; see `replayed`.
    total = len(needs) * unit_words
    lengths = np.resize(lengths, total // lengths.sum() * len(lengths))
    last = np.cumsum(lengths) - 1
    real = releases[releases != NEVER]
    by_pass = np.all(np.isin(real % total, last))
    words = last if by_pass else np.arange(total)  # last word of an event
    uniform = not by_pass or np.all(lengths == lengths[0])
    step: int | Table = int(lengths[0] if by_pass else 1) if uniform else lengths
    begins = (words - step + 1) % unit_words == 0
    ends = np.flatnonzero(np.isin(words, last))
    event = np.searchsorted(words, releases % total) + releases // total * len(words)
    released = np.where(releases == NEVER, NEVER, event)
    taking, taken = take("words", sides, (Wait("issue", released, 1),))
    written = Wait(taken, np.where(begins, needs[words // unit_words] - 1, NEVER), step)
    spent = np.full(len(words), NEVER)
    spent[ends], owner, place = beats_of_passes(beats, len(ends))
    issue = Process("issue", len(words), (written, *credits(spent, slots)), step * gap)
    result = Wait("issue", ends[owner], depth + 1 + place if place.any() else depth + 1)
    busy = max(len(needs) * unit_words * gap, len(releases))
    return Timing(tuple(sides), (*taking, issue), result, busy, depth, slots)
