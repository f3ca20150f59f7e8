/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * sums_cells.pml: what sums.pml is made of: shared memory with store buffers, and how a poster takes a
 * group's sum from its cell, or sums the lanes and leaves the result there.
 */

#ifndef TWICE
#define TWICE POSTERS
#endif
#define WRITES(p) (p == TWICE -> 2 : 1)
#ifdef WEAK
#define DEPTH 7
#else
#define DEPTH 4
#endif
#define BIT(p) (1 << (p))
#define MINE BIT(me)
#define DEAD 0
#define POSTERS 3
#if defined(RETIRE) || defined(REACH)
#define LANES 2 /* poster 2 is the engine */
#else
#define LANES 3
#endif
#if defined(REACH) || defined(TURNED)
#define FRAMES 2
byte published; /* frames before it are played */
#define FRAME frame
#else
#define FRAMES 1
#define FRAME 0
#endif
#define GROUPS 2
#define GROUP(p) ((p) / 2)

/* Shared memory. Of two tickets is asked only whether they are the same one; so each post has a number of
 * its own instead of the next. `moved` is, as in protocol.pml, who would find the version changed. */
byte lane[LANES];    /* its content: 0, the poster's first write, or its second */
byte moved;
byte last[GROUPS];
byte tag[GROUPS];    /* TAG(ticket); 0: not valid */
byte cell[GROUPS];   /* the sum */
byte claim[GROUPS];  /* 0: free; or 1 + the poster that writes the cell */
byte posting;        /* of poster DEAD */
byte ring[FRAMES];   /* a sum. With REACH a lane has the frames before its value */
#define TICKET(n) (1 + POSTERS * (n) + me)
#ifdef TURNED
#define TAG(ticket) (1 + 2 * (ticket) + turn)
#else
#define TAG(ticket) (1 + (ticket))
#endif
#define TERM(p) (lane[p] << (2 * (p))) /* of a sum: two bits of each lane */
#define OF(p, sum) (((sum) >> (2 * (p))) & 3)

/* What is known about posters, not part of the protocol. */
byte at_work;           /* from publishing to clearing `posting` */
byte finished[LANES];   /* what has to be heard */
byte last_store;        /* 1 + who stored to the ring last */
byte dead, over;        /* BIT(DEAD); who has nothing more to write */
bit repaired, retired;
#ifdef REACH
bit mixed; /* the engine has mixed what has come within reach */
#endif
#ifdef WEAK
bit locked;
#endif

/* Store buffers, as in protocol.pml. */
#define TO_RING 0 /* + frame */
#define TO_LANE 2
#define TO_POSTING 3
#define TO_VERSION 4
#define TO_PUBLISHED 5
#define RETIRE_LANE 6
#define TO_LAST 10 /* + group */
#define TO_TAG 12
#define TO_CELL 14
#define TO_CLAIM 16
chan buffer[POSTERS] = [DEPTH] of { byte, byte };

inline store(where, value)
{
    assert(nfull(buffer[me]));
    buffer[me]!where, value
}
#define fence empty(buffer[me])
#ifdef NO_FENCE
#define check_fence true
#else
#define check_fence fence
#endif
#ifdef NO_BUMP_FENCE
#define bump_fence true
#else
#define bump_fence fence
#endif

/* The tag becomes 0 before the sum changes. In one step: nobody looks at the sum who has found the tag 0. */
#ifdef NO_INVALIDATION
#define INVALIDATE(h) skip
#else
#define INVALIDATE(h) tag[h] = 0
#endif
/* Then the claim becomes 0. In one step, unless somebody may die between: whoever tries to take the claim
 * meanwhile has looked at the tag before, and could have tried before. */
#ifdef DIE
#define RELEASE(h) skip
#else
#define RELEASE(h) claim[h] = 0
#endif
inline land(p) /* the oldest store of processor p reaches memory */
{
    atomic {
        buffer[p]?where, what ->
        if
        :: where < FRAMES -> ring[where] = what; last_store = 1 + p
#if POSTERS > LANES
        :: where == TO_LANE -> assert(p < LANES); lane[p] = what
#else
        :: where == TO_LANE -> lane[p] = what
#endif
        :: where == TO_POSTING -> posting = what
        :: where == TO_LAST -> last[0] = what
        :: where == TO_LAST + 1 -> last[1] = what
        :: where == TO_TAG -> tag[0] = what; RELEASE(0)
        :: where == TO_TAG + 1 -> tag[1] = what; RELEASE(1)
        :: where == TO_CELL -> INVALIDATE(0); cell[0] = what
        :: where == TO_CELL + 1 -> INVALIDATE(1); cell[1] = what
        :: where == TO_CLAIM -> claim[0] = what
        :: where == TO_CLAIM + 1 -> claim[1] = what
#ifdef WEAK
        :: where == TO_VERSION -> locked = 0; moved = moved | (at_work & ~BIT(p))
#endif
#ifdef REACH
        :: where == TO_PUBLISHED -> published = what
#endif
        :: where == RETIRE_LANE -> lane[DEAD] = what
        fi;
        where = 0;
        what = 0
    }
}
#ifdef WEAK
/* Stores to the ring wait for nothing. */
#define landings(p) land(p) \
    :: atomic { buffer[p]??eval(TO_RING), what -> ring[0] = what; last_store = 1 + p; what = 0 } \
    overtake_second(p)
#if FRAMES > 1
#define overtake_second(p) :: atomic { buffer[p]??eval(TO_RING + 1), what -> ring[1] = what; what = 0 }
#else
#define overtake_second(p)
#endif
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
    :: landings(2)
    od
}

#define poster_variables \
    byte used[GROUPS]; /* what `last` was, for each group's sum */ \
    byte sum; \
    byte got; \
    byte frame; /* the one that is posted */ \
    bit turn    /* that it is summed for */

/* Loads of a group's lanes; each is a step, and what is stored afterwards belongs to the last. */
#define OF_GROUP(h, sum) ((sum) & ((h) == 0 -> 15 : 240))
#ifdef TURNED
#define LOAD(p) sum = sum | (turn -> 0 : TERM(p)) /* nobody has written anything for the next turn */
#else
#define LOAD(p) sum = sum | TERM(p)
#endif
#if LANES > 2
#define load_lanes_1(then) atomic { LOAD(2); then }
#else
#define load_lanes_1(then) atomic { then }
#endif
#define load_lanes_0(then) LOAD(0); atomic { LOAD(1); then }

inline stored_after(h) /* the last group: what is gathered is stored */
{
    if
    :: h + 1 == GROUPS -> store(TO_RING + FRAME, sum); sum = 0
    :: else
    fi
}

inline leave(h) /* and before it, in the cell, by whoever has claimed that */
{
    store(TO_CELL + h, OF_GROUP(h, sum));
    store(TO_TAG + h, TAG(used[h]));
#ifdef DIE
    store(TO_CLAIM + h, 0);
#endif
    stored_after(h)
}

/* compare_exchange(0, mine, acquire). On x86 it drains the buffer. On ARM64 it may become visible later,
 * but nobody looks who would not take it before or after. */
#if defined(NO_CLAIM)
#define can_claim(h) true
#elif defined(WEAK)
#define can_claim(h) (claim[h] == 0)
#else
#define can_claim(h) (claim[h] == 0 && fence)
#endif

#if defined(LANES_BEFORE_CLAIM) /* and after `last` */
#define renew(h) \
    load_lanes_##h(skip); \
    if \
    :: atomic { can_claim(h) -> claim[h] = 1 + me; leave(h) } \
    :: atomic { claim[h] != 0 -> stored_after(h) } \
    fi
#elif defined(LANES_BEFORE_LAST)
#define renew(h) \
    load_lanes_##h(skip); \
    if \
    :: atomic { can_claim(h) -> claim[h] = 1 + me }; atomic { used[h] = last[h]; leave(h) } \
    :: atomic { claim[h] != 0 -> stored_after(h) } \
    fi
#else
#define renew(h) \
    if \
    :: atomic { can_claim(h) -> claim[h] = 1 + me }; used[h] = last[h]; load_lanes_##h(leave(h)) \
    :: claim[h] != 0 -> load_lanes_##h(stored_after(h)) \
    fi
#endif

#ifdef NO_SECOND_LOOK
#define use_cell(h) atomic { sum = sum | cell[h]; stored_after(h) }
#else
#define use_cell(h) \
    got = cell[h]; \
    if \
    :: atomic { tag[h] == TAG(used[h]) -> sum = sum | got; got = 0; stored_after(h) } \
    :: atomic { tag[h] != TAG(used[h]) -> got = 0 }; load_lanes_##h(stored_after(h)) \
    fi
#endif

#define add_group(h) \
    if \
    :: tag[h] == TAG(used[h]) -> use_cell(h) \
    :: tag[h] != TAG(used[h]) -> renew(h) \
    fi
