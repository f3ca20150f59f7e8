/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * sums.pml: cached group sums. Posters 0 and 1 have lanes in group 0, poster 2 in group 1; one block.
 * Beside its version the block has, for each group, `last`: the ticket of the last poster that has changed
 * a lane of the group; and a cell with the group's sum, the ticket that it is valid for (`tag`), and a
 * `claim` to write it. A post:
 *
 *   publish the change; version += 1, which is the ticket; last of the own group <- ticket; full fence
 *   recombine: a group's sum is its cell's, if the tag is what `last` says; otherwise that of its lanes,
 *       and it is left in the cell if nobody else has claimed that
 *   full fence; the version has moved, or a `last` is not what was used: recombine again
 *
 * Each poster writes once, poster TWICE twice. Variants:
 *   TWO_CELLS without it only group 0 has a cell that can be used: somebody has died with the other's claim
 *   DIE       poster 0 may stop for ever at any instruction; poster 2 looks at its `posting`
 *   RETIRE    with DIE: poster 2 is the engine, has no lane, takes the dead one's out and frees its claims
 *   REACH     the block has two frames, the second beyond reach at first; poster 0 writes it, poster 1 the
 *             first one, poster 2 is the engine, and mixes what has come within reach
 *   TURNED    poster 0 writes the second frame; poster 2 the first, which is played before it is done, so
 *             that it sums this frame, and with it the block, for the next turn
 *   WEAK      as in protocol.pml
 * README.md has the mutations.
 */

#include "sums_cells.pml"

/* Has the frame been played? With TURNED a poster looks. */
#ifdef TURNED
#define OVERTAKEN (published > frame && !turn)
#else
#define OVERTAKEN 0
#endif

inline forget()
{
    used[0] = 0;
    used[1] = 0
}

/* Does the version tell to do it again? And `last`? */
#ifdef NO_VERSION_CHECK
#define VERSION_MOVED 0
#else
#define VERSION_MOVED (moved & MINE)
#endif
#ifdef NO_LAST_CHECK
#define LAST_MOVED(h) 0
#else
#define LAST_MOVED(h) (last[h] != used[h])
#endif

inline mark(working) /* posting_->store(); only that of poster DEAD is looked at */
{
#ifdef DIE
    if
    :: me == DEAD -> store(TO_POSTING, working)
    :: else
    fi
#else
    skip
#endif
}

inline finish(done)
{
    mark(0);
    at_work = at_work & ~MINE;
    moved = moved & ~MINE;
    turn = 0;
    if
    :: done > 0 -> finished[me] = done
    :: else
    fi;
    forget()
}

#ifdef NO_BUMP_FENCE
/* Then it may still have its own ticket in the buffer, which is what it loads. */
#define LOAD_LAST(h) \
    if \
    :: buffer[me]??[eval(TO_LAST + h), eval(TICKET(0))] -> used[h] = TICKET(0) \
    :: else -> used[h] = last[h] \
    fi
#else
#define LOAD_LAST(h) used[h] = last[h]
#endif

inline recombine()
{
    atomic { bump_fence; LOAD_LAST(0) };
    add_group(0);
    atomic { LOAD_LAST(1) };
#ifdef TWO_CELLS
    add_group(1)
#else
    load_lanes_1(stored_after(1)) /* somebody has died with the claim of this one */
#endif
}

/* Poster::settle(). The version and all `last` are looked at in one step: none of them ever gets a value
 * again that it has had, so if none has changed at the last load, none had at the first. */
#define MOVED (VERSION_MOVED || LAST_MOVED(0) || LAST_MOVED(1))
inline settle(done)
{
    do
    ::
        recombine();
        atomic {
            check_fence;
            if
            :: MOVED || OVERTAKEN -> moved = moved & ~MINE; turn = turn | OVERTAKEN; forget()
            :: else -> finish(done); break
            fi
        }
    od
}

/* fetch_add(1, acq_rel); what is stored next belongs to it. */
inline bump()
{
    empty(buffer[me]);
#ifdef WEAK
    !locked;
    locked = 1;
    moved = moved & ~MINE;
    store(TO_VERSION, 0)
#else
    moved = (moved | at_work) & ~MINE
#endif
}

inline post_ticket(h, n)
{
    atomic { bump(); at_work = at_work | MINE; store(TO_LAST + h, TICKET(n)) }
}

/* A change of the lane of poster p, `range`, which is its owner's n-th. */
inline post(where, value, h, n, done)
{
#ifdef TICKET_BEFORE_CHANGE
    post_ticket(h, n);
    atomic { store(where, value) };
#else
    atomic { at_work = at_work | MINE; store(where, value); mark(1) };
    post_ticket(h, n);
#endif
    settle(done)
}

inline repair()
{
    atomic { bump(); at_work = at_work | MINE };
    settle(0)
}

inline write()
{
    post(TO_LANE, 1, GROUP(me), 0, 1);
    if
    :: WRITES(me) > 1 -> post(TO_LANE, 2, GROUP(me), 1, 2)
    :: else
    fi
}

#ifdef DIE
proctype mortal(byte me)
{
    poster_variables;
    { write() } unless { dead };
    atomic {
        finished[me] = (retired -> 0 : finished[me]);
        sum = 0; got = 0; forget();
        over = over | MINE
    }
}

active proctype fate()
{
end:
    atomic { empty(buffer[DEAD]) && !(over & BIT(DEAD)) -> dead = BIT(DEAD) }
}
#endif

proctype poster(byte me)
{
    poster_variables;
#ifdef TURNED
    atomic { frame = (me == 0) };
#endif
    write();
    atomic { over = over | MINE; frame = 0 }
}

#ifdef REACH
/* Stream::post_reachable(), as in reach.pml: it publishes the second frame, and posts it if it finds it
 * within reach. */
proctype writer(byte me)
{
    poster_variables;
    store(TO_LANE, 2);
    atomic { fence; frame = published };
    if
    :: frame -> post_ticket(GROUP(me), 0); settle(0)
    :: else
    fi;
    atomic { finished[me] = 2; frame = 0 }
}

/* Engine::mix_within_reach() */
proctype mixer(byte me)
{
    poster_variables;
    store(TO_PUBLISHED, 1);
    fence;
    frame = 1;
#ifdef NO_LAST_OF_ENGINE
    repair();
#else
    post_ticket(0, 0); /* of every group that has a lane */
    settle(0);
#endif
    atomic { mixed = 1; frame = 0 }
}
#define HEARD_OF(p, f) ((finished[p] <= f || OF(p, ring[f]) > f) && (OF(p, ring[f]) <= f || lane[p] > f))
#define HEARD(f) (HEARD_OF(0, f) && HEARD_OF(1, f))
#endif

/* As in death.pml: what is in `posting` at two looks is stuck, and posted. */
inline look_at_posting()
{
    atomic { stuck = posting && seen; seen = posting };
    if
    :: stuck -> stuck = 0; repair()
    :: else
    fi
}

proctype repairer(byte me)
{
    poster_variables;
    bit stuck, seen;
    write();
    over = over | MINE;
#ifndef NO_REPAIR
    do
    :: look_at_posting()
    :: atomic { over == 7 -> break }
    od;
    look_at_posting();
    look_at_posting();
#else
    over == 7;
#endif
    atomic { repaired = 1; stuck = 0; seen = 0 }
}

inline free_claim(h)
{
    if
    :: claim[h] == 1 + DEAD -> claim[h] = 0
    :: else
    fi
}

/* Engine::begin_retiring() */
proctype engine(byte me)
{
    poster_variables;
    atomic { dead -> finished[DEAD] = 0; posting = 0 };
    atomic { free_claim(0) };
    atomic { free_claim(1) };
#ifdef NO_LAST_OF_ENGINE
    store(RETIRE_LANE, 0);
    repair();
#else
    post(RETIRE_LANE, 0, GROUP(DEAD), 0, 0);
#endif
    atomic { repaired = 1; retired = 1 }
}

/* Guarantee 1, asked whenever who stored last is not at work any more: then what is wrong stays. After a
 * repair it is asked also of what a dead poster has stored. */
#ifdef RETIRE
#define GOING(p) (p == DEAD && dead)
#else
#define GOING(p) 0
#endif
#define LANE_EXACT(p) (OF(p, ring[0]) >= finished[p] && \
    (OF(p, ring[0]) <= lane[p] || (GOING(p) && !retired)))
#if LANES > 2
#define EXACT (LANE_EXACT(0) && LANE_EXACT(1) && LANE_EXACT(2))
#else
#define EXACT (LANE_EXACT(0) && LANE_EXACT(1))
#endif
#define STORER_AT_WORK ((at_work << 1) & BIT(last_store))

active proctype device()
{
end:
    do
#if defined(REACH)
    :: atomic { !at_work && mixed -> assert(HEARD(0) && HEARD(1)) }
#elif defined(TURNED)
    :: atomic { !(at_work & 1) -> assert(OF(0, ring[1]) == finished[0]) }
    :: published = 1
#else
    :: atomic { !STORER_AT_WORK || (repaired && !(at_work & ~dead)) -> assert(EXACT) }
#endif
    od
}

init
{
    atomic {
#ifdef DIE
        run mortal(0);
        run poster(1);
#ifdef RETIRE
        run engine(2)
#else
        run repairer(2)
#endif
#else
#ifdef REACH
        lane[0] = 1;
        ring[0] = 1;
        finished[0] = 1;
        run writer(0);
        run poster(1);
        run mixer(2)
#elif defined(TURNED)
        run poster(0);
        run poster(2)
#else
        run poster(0);
        run poster(1);
        run poster(2)
#endif
#endif
    }
}
