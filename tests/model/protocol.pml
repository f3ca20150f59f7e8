/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * protocol.pml: the block protocol of src/core/post.cpp, as all configurations here use it. README.md
 * says what is abstracted and how. Before including it a configuration defines
 *   POSTERS   processes that post; numbers 0 ... POSTERS - 1, their bits in masks
 *   LANES     the first so many of them have a lane (2 or 3)
 *   RING      blocks of the device's ring
 *   DEPTH     stores that a processor may hold back; and perhaps
 *   TURNS     the device plays: blocks have absolute numbers, the place in the ring is the number
 *             modulo RING. Without it the ring is all ahead of the device, and block == place.
 *   PROMISES  as without TURNS, but some blocks are beyond reach until somebody says that he mixes them
 *   WATCHED   the poster whose `posting` is looked at
 *   CHANGER   this poster's lane changes: its cells are words of their own
 *   WEAK      stores to the ring overtake others, and a bump does not order what follows (ARM64)
 * or one of the mutations NO_VERSION_CHECK, NO_FENCE (before the check), NO_BUMP_FENCE,
 * NO_POSITION_CHECK, LOOK_AFTERWARDS_ONLY (no look at the position before the first recombination). Every process that includes poster_variables can use the inlines; `me` is its number.
 */

#define BIT(p) (1 << (p))
#define MINE BIT(me)
#define PLACE(block) ((block) % RING)

/* Shared memory. */
byte range[LANES];     /* blocks 0 ... range - 1 are valid: one word, as in the code */
byte posting[POSTERS]; /* 0, or what post() marks: WORD(first, count) */
byte ring[RING];       /* the device's ring, see CONTENT */
#ifdef TURNS
byte published;        /* blocks before it are played and silenced, says the engine */
#endif
#ifdef PROMISES
byte mixed_to;         /* Reach::mixed_to: blocks before it are mixed, or about to be by who said so */
#endif
#ifdef CHANGER
bit cell[2];           /* content of the changer's blocks: old (0) or new (1) */
#endif

#define WORD(first, count) (1 + 2 * (first) + (count) - 1)
#define WORD_FIRST(word) (((word) - 1) / 2)
#define WORD_COUNT(word) (1 + ((word) - 1) % 2)

/* What a block of the ring contains: the lanes in it, one bit each (bit 3: the changer's new content);
 * and with turns the block that this is of, so that what is left of an earlier turn shows. */
#define NEW 8
#ifdef TURNS
#define CONTENT(block, lanes) ((lanes) -> 16 * (block) + (lanes) : 0)
#define LANES_IN(content) ((content) & 15)
#define BLOCK_OF(content) ((content) / 16)
#else
#define CONTENT(block, lanes) (lanes)
#define LANES_IN(content) (content)
#endif

/* The version words. Numbers would only blow up the state: a poster asks nothing but "has it moved
 * since I looked?", so this is the set of posters for which the answer is yes. */
byte moved[RING];
#ifdef WEAK
bit locked[RING]; /* a bump has read the version but is not visible yet: no other comes in between */
#endif
/* What is known about posters, not part of the protocol. */
byte at_work[RING];  /* posters whose batch covers this place, from setting `posting` to clearing it */
byte finished[POSTERS]; /* of each lane: blocks before it are posted, and have to be heard */
byte last_store[RING]; /* who wrote the ring here last; only set where it matters (NOTE_STORE) */
#ifndef NOTE_STORE
#define NOTE_STORE(place, poster) skip
#endif
/* Store buffers: each processor's stores reach memory in order, but late. Loads do not look into the
 * own buffer: no process of this protocol loads what it has stored before the next fence or bump. */
#define TO_RING 0 /* + place */
#define TO_RANGE 10
#define TO_POSTING 11
#define TO_PUBLISHED 12
#define TO_MIXED 13   /* only ever raised */
#define TO_CELL 14    /* + block */
#define TO_VERSION 20 /* + place; WEAK only */
#define RETIRE_RANGE 30 /* of lane DEAD, written by another process */
#define RETIRE_POSTING 31
chan buffer[POSTERS] = [DEPTH] of { byte, byte };
/* A store is seen by nobody until it lands. So nothing is lost by putting it into the buffer in the
 * same step as what comes before it, and by fencing in the same step as what comes after: who has
 * stopped between a load and the store after it is one whose store does not land. */
inline store(where, value)
{
    assert(nfull(buffer[me]));
    buffer[me]!where, value
}
inline fence() /* atomic_thread_fence(seq_cst) */
{
    empty(buffer[me])
}
inline land(p) /* the oldest store of processor p reaches memory */
{
    atomic {
        buffer[p]?where, what ->
        if
        :: where < RING -> ring[where] = what; NOTE_STORE(where, p)
#if POSTERS > LANES
        :: where == TO_RANGE -> assert(p < LANES); range[p] = what
#else
        :: where == TO_RANGE -> range[p] = what
#endif
        :: where == TO_POSTING -> posting[p] = what
#ifdef TURNS
        :: where == TO_PUBLISHED -> published = what
#endif
#ifdef PROMISES
        :: where == TO_MIXED -> mixed_to = (what > mixed_to -> what : mixed_to)
#endif
#ifdef CHANGER
        :: where == TO_CELL -> cell[0] = what
        :: where == TO_CELL + 1 -> cell[1] = what
#endif
#ifdef WEAK
        :: where >= TO_VERSION && where < TO_VERSION + RING ->
            locked[where - TO_VERSION] = 0;
            moved[where - TO_VERSION] = moved[where - TO_VERSION] | (at_work[where - TO_VERSION] & ~BIT(p))
#endif
#ifdef DEAD
        :: where == RETIRE_RANGE -> range[DEAD] = what
        :: where == RETIRE_POSTING -> posting[DEAD] = what
#endif
        fi;
        where = 0;
        what = 0
    }
}
#ifdef WEAK
/* A plain store waits for nothing that was stored elsewhere before it. */
#define overtake(p, place) \
    atomic { buffer[p]??eval(TO_RING + place), what -> ring[place] = what; NOTE_STORE(place, p); what = 0 }
#define landings(p) land(p) :: overtake(p, 0) :: overtake(p, 1)
#else
#define landings(p) land(p)
#endif
active proctype memory()
{
    byte where, what;
end:
    do
    :: landings(0)
    :: landings(1)
#if POSTERS > 2
    :: landings(2)
#endif
#if POSTERS > 3
    :: landings(3)
#endif
    od
}
#define poster_variables \
    byte sum;    /* gathered: the lanes in the first block, and << 4 those in the second */ \
    byte from;   /* settle(): block that the batch is now for */ \
    byte late;   /* settle(): so many blocks of it belong to the turn after that */ \
    bit changed; \
    bit overtaken;

/* add_slot(): one load of the range word tells which blocks the lane has. */
#define HAS(lane, block, shift) ((range[lane] > (block)) << ((lane) + (shift)))
#define gather(lane, first) sum = sum | HAS(lane, first, 0) | HAS(lane, (first) + 1, 4)
#ifdef CHANGER
/* The same for the changer, whose cells are loaded after the range. */
#define gather_cell(i, first) \
    if \
    :: (first) + i < 2 && (sum & (BIT(CHANGER) << (4 * i))) -> sum = sum | ((cell[(first) + i] * NEW) << (4 * i)) \
    :: else \
    fi
#define gather_cells(first) gather_cell(0, first); gather_cell(1, first)
#else
#define gather_cells(first) skip
#endif

/* recombine() of one block and of two: the lanes are loaded one by one, then the blocks are stored.
 * With turns only one lane changes, so that loading them in one step is the same. */
inline gather_lanes(first)
{
    gather(0, first);
#ifdef CHANGER
    gather_cells(first);
#endif
#if LANES > 2
    gather(1, first);
#endif
}

inline store_one(first)
{
    gather(LANES - 1, first);
    store(TO_RING + PLACE(first), CONTENT(first, sum & 15));
    sum = 0
}

inline store_two(first)
{
    gather(LANES - 1, first);
    store(TO_RING + PLACE(first), CONTENT(first, sum & 15));
    store(TO_RING + PLACE(first + 1), CONTENT(first + 1, sum >> 4));
    sum = 0
}

inline bump_now(place)
{
    moved[place] = (moved[place] | at_work[place]) & ~MINE
}

/* fetch_add(1, acq_rel) on a version. A locked instruction of x86 drains the buffer before it and is
 * visible at once. On ARM64 it comes after everything before it, but becomes visible later. */
inline bump(place)
{
#ifdef WEAK
    atomic {
        empty(buffer[me]) && !locked[place] ->
        locked[place] = 1;
        moved[place] = moved[place] & ~MINE;
        buffer[me]!TO_VERSION + place, 0
    }
#else
    atomic { empty(buffer[me]) -> bump_now(place) }
#endif
}

/* The fence behind the bumps. On x86 the bump was one. */
#if defined(WEAK) && !defined(NO_BUMP_FENCE)
#define BUMP_FENCE fence();
#else
#define BUMP_FENCE
#endif

/* Poster::moved(), one block of it: loads the version (behind a fence). */
inline look(place)
{
#ifndef NO_FENCE
    fence();
#endif
#ifndef NO_VERSION_CHECK
    changed = changed | ((moved[place] & MINE) != 0);
#endif
    moved[place] = moved[place] & ~MINE
}

/* Again, or the end of the batch. */
inline decide(first, count, done)
{
    if
    :: changed || overtaken -> changed = 0; overtaken = 0
    :: else -> finish(first, count, done); break
    fi
}

#ifdef TURNS
/* What has been played belongs to the next turn: the one in which the batch's last block is still
 * ahead, and how much of it is not. */
inline next_turn(count)
{
#ifndef NO_POSITION_CHECK
    if
    :: published > from + late ->
        overtaken = 1;
        do
        :: from + count - 1 < published -> from = from + RING
        :: else -> break
        od;
        late = (published > from -> published - from : 0);
        ON_AIM
    :: else
    fi
#else
    skip
#endif
}

#ifndef LOOK_AFTERWARDS_ONLY
#define look_first(count) atomic { next_turn(count); overtaken = 0 }
#else
#define look_first(count) skip
#endif
#endif

/* posting_->store(). Left out for posters at whose word nobody looks in a configuration: that only
 * makes its states more. */
inline mark(word)
{
#ifdef WATCHED
    if :: me == WATCHED -> store(TO_POSTING, word) :: else fi
#else
    skip
#endif
}

#ifndef LEFT /* how many blocks of a post are left from the batch at `first` on: so many are marked */
#define LEFT(first, count) (count)
#endif

/* What post() and settle() begin and end with, for batches of one block and of two. */
inline begin(first, count)
{
    from = first;
    late = 0;
    mark(WORD(first, LEFT(first, count)));
#ifdef ON_BEGIN
    ON_BEGIN;
#endif
    at_work[PLACE(first)] = at_work[PLACE(first)] | MINE;
    if
    :: count == 2 -> at_work[PLACE(first + 1)] = at_work[PLACE(first + 1)] | MINE
    :: else
    fi
}

inline finish(first, count, done)
{
    if :: LEFT(first, count) == count -> mark(0) :: else fi;
    at_work[PLACE(first)] = at_work[PLACE(first)] & ~MINE;
    moved[PLACE(first)] = moved[PLACE(first)] & ~MINE;
    if
    :: count == 2 ->
        at_work[PLACE(first + 1)] = at_work[PLACE(first + 1)] & ~MINE;
        moved[PLACE(first + 1)] = moved[PLACE(first + 1)] & ~MINE
    :: else
    fi;
    if :: done > 0 -> finished[me] = done :: else fi;
#ifdef ON_FINISH
    ON_FINISH(first, count);
#endif
    from = 0;
    late = 0
}

/* Poster::post(), one batch of one block. If `done` is not 0, all of the poster's blocks before it are
 * finished when `posting` is cleared. */
inline post(first, done)
{
    atomic { begin(first, 1) };
    bump(PLACE(first));
    BUMP_FENCE
#ifdef TURNS
    look_first(1);
    do /* Poster::settle() */
    ::
        atomic { gather_lanes(from); store_one(from) };
        atomic { look(PLACE(first)) };
        atomic { next_turn(1); decide(first, 1, done) }
    od
#else
    do /* Poster::settle() */
    ::
        gather_lanes(from);
        atomic { store_one(from) };
        atomic { look(PLACE(first)); decide(first, 1, done) }
    od
#endif
}

/* The same, a batch of two blocks. */
inline post_two(first, done)
{
    atomic { begin(first, 2) };
    bump(PLACE(first));
    bump(PLACE(first + 1));
    BUMP_FENCE
#ifdef TURNS
    look_first(2);
    do
    ::
        if
        :: atomic { late == 0 -> gather_lanes(from); store_two(from) }
        :: atomic { late == 1 -> gather_lanes(from + RING); store_one((from + RING)) };
           atomic { gather_lanes((from + 1)); store_one((from + 1)) }
        fi;
        atomic { look(PLACE(first)) };
        atomic { look(PLACE(first + 1)) };
        atomic { next_turn(2); decide(first, 2, done) }
    od
#else
    do
    ::
        gather_lanes(from);
        atomic { store_two(from) };
        atomic { look(PLACE(first)) };
        atomic { look(PLACE(first + 1)); decide(first, 2, done) }
    od
#endif
}

#ifdef TURNS
/* post() of the blocks first ... end - 1 by posters who are on time. The device waits for them, so that
 * they are not overtaken: no need to look where playback is, nor to take each step by itself. */
inline post_each()
{
    do
    :: atomic { first < end && empty(buffer[me]) -> begin(first, 1); bump_now(PLACE(first)) };
        do
        ::
            atomic { gather_lanes(from); store_one(from) };
            atomic { assert(published <= from); look(PLACE(first)); decide(first, 1, 0) }
        od;
        first++
    :: atomic { first >= end -> first = 0; end = 0; break }
    od
}
#endif
