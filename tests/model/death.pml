/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * death.pml: three posters and two blocks. Poster 0, which posts in two batches, may stop for ever at any
 * instruction. Poster 2 writes its own blocks and then looks at everybody's `posting` again and again, as
 * every client and the engine do; no server is needed. With RETIRE poster 2 is the engine, has no lane, and is
 * told of the death: it takes the dead one's lane out.
 */

#define DEAD 0
#define WATCHED DEAD
#define POSTERS 3
#ifdef RETIRE
#define LANES 2
#else
#define LANES 3
#endif
#define RING 2
#define DEPTH 4
#define LEFT(first, count) (2 - (first))
#define NOTE_STORE(place, poster) last_store[place] = (poster == DEAD)
byte dead;    /* BIT(DEAD), once it does not move any more */
byte over;    /* posters with nothing more to write */
bit repaired; /* nothing may be missing now */
bit retired;  /* and nothing of the dead one may be left */
#include "protocol.pml"

/* After a repair all that the dead one has published must be there, whether it came to post it or not. */
#define FINISHED_0(b) ((repaired && dead -> range[0] : finished[0]) > b)
#if LANES > 2
#define FINISHED(b) (FINISHED_0(b) | ((finished[1] > b) << 1) | ((finished[2] > b) << 2))
#define PUBLISHED(b) ((range[0] > b) | ((range[1] > b) << 1) | ((range[2] > b) << 2))
#else
#define FINISHED(b) (FINISHED_0(b) | ((finished[1] > b) << 1))
#define PUBLISHED(b) ((range[0] > b) | ((range[1] > b) << 1))
#endif
#ifdef RETIRE
#define GOING (dead && !retired) /* the dead one's audio may be there, or not any more */
#else
#define GOING 0
#endif
#define EXACT(b) ((FINISHED(b) & ~ring[b]) == 0 && (ring[b] & ~(PUBLISHED(b) | GOING)) == 0)
/* Guarantee 3: only the batch in flight is spoilt: where the dead one was at work and stored last. */
#define SPOILT(b) (!repaired && (at_work[b] & dead) && last_store[b])

proctype mortal(byte me)
{
    poster_variables
    {
#ifdef INTEND_AFTERWARDS
        store(TO_RANGE, 2);
        mark(WORD(0, 2));
#else
        mark(WORD(0, 2)); /* Poster::intend() */
        store(TO_RANGE, 2);
#endif
        post(0, 1);
        post(1, 2)
    } unless { dead };
    atomic {
        finished[me] = (retired -> 0 : finished[me]);
        sum = 0; from = 0; late = 0; changed = 0;
        over = over | MINE
    }
}

/* Whether it is stopped or killed: its processor's stores are out by then (the kernel takes care). */
proctype fate()
{
end:
    atomic { empty(buffer[DEAD]) && !(over & BIT(DEAD)) -> dead = BIT(DEAD) }
}

proctype poster(byte me)
{
    poster_variables
    store(TO_RANGE, 2);
    post_two(0, 2);
    atomic { over = over | MINE }
}

/* Poster::repair_word(): a word that is still what it was at the last look is stuck. */
inline repair_word(p)
{
    atomic {
        stuck = (posting[p] != 0 && posting[p] == last[p] -> posting[p] : 0);
        last[p] = posting[p]
    };
    if
    :: stuck -> post_two(0, 0); stuck = 0
    :: else
    fi
}

proctype repairer(byte me)
{
    poster_variables
    byte stuck, last[1];
    store(TO_RANGE, 2);
    post_two(0, 2);
    over = over | MINE;
#ifndef NO_REPAIR
    do
    :: repair_word(0)
    :: atomic { over == 7 -> break }
    od;
    /* Others have gone quiet: after two more looks all is well. */
    repair_word(0);
    repair_word(0);
#endif
    atomic { over == 7 -> repaired = 1; stuck = 0; last[0] = 0 }
}

/* Engine::begin_retiring(), without the fade. */
proctype engine(byte me)
{
    poster_variables
    atomic { dead -> finished[DEAD] = 0 };
    store(RETIRE_RANGE, 0);
    store(RETIRE_POSTING, 0);
    post_two(0, 0);
    atomic { repaired = 1; retired = 1 }
}

active proctype device()
{
end:
    do
    :: atomic { (at_work[0] & ~dead) == 0 && !SPOILT(0) -> assert(EXACT(0)) }
    :: atomic { (at_work[1] & ~dead) == 0 && !SPOILT(1) -> assert(EXACT(1)) }
    od
}

init
{
    atomic {
        run mortal(0);
        run fate();
        run poster(1);
#ifdef RETIRE
        run engine(2)
#else
        run repairer(2)
#endif
    }
}
