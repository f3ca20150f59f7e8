/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * reach.pml: four posters and two blocks, the second of which comes within reach meanwhile. Poster 0 writes the second
 * block (the first is there already); poster 1 drops both, which it has written before; poster 2 is the engine, which
 * may stop for ever at any instruction; poster 3 is a client that tends the ring in its place.
 *
 * Whoever mixes what comes within reach says so first. What anybody believes of the device's position does not
 * enter: writers believe the oldest there is.
 */

#define POSTERS 4
#define LANES 2
#define RING 2
#define DEPTH 4
#define PROMISES
#define ENGINE 2
#define WATCHED ENGINE
#define NOTE_STORE(place, poster) last_store[place] = (poster == ENGINE)
bit dead;  /* the engine does not move any more */
bit over;  /* it has done what it had to do */
bit mixed; /* the tender is done as well: nothing may be missing now */
bit gone;  /* what is dropped must not be heard any more */
#include "protocol.pml"

#define PUBLISHED(b) ((range[0] > b) | ((range[1] > b || !gone) << 1))
#define EXACT(b) (((finished[0] > b) & ~ring[b]) == 0 && (ring[b] & ~PUBLISHED(b)) == 0)

/* Poster::extend(): intend, promise, post. A compare and exchange that releases: on ARM64 it comes after all
 * before it, but becomes visible later. */
inline promise()
{
#ifdef WEAK
    atomic { empty(buffer[me]) -> buffer[me]!TO_MIXED, 2 }
#else
    atomic { empty(buffer[me]) -> mixed_to = 2 }
#endif
}

inline extend()
{
#ifndef PROMISE_WITHOUT_INTENT
    mark(WORD(1, 1));
#endif
#ifdef PROMISE_AFTERWARDS
    post(1, 0);
    promise()
#else
    promise();
    post(1, 0) /* the fence between promise and ranges is the one behind the bump */
#endif
}

/* Stream::post_reachable() */
proctype writer(byte me)
{
    poster_variables
    byte posted, to;
    if
    :: posted = 0
    :: posted = 1 /* there is nothing new within reach */
    fi;
    store(TO_RANGE, 2);
    do
    ::
#ifndef NO_WRITE_FENCE
        fence();
#endif
        to = mixed_to;
        if
        :: to <= posted -> break
        :: else
        fi;
        if
        :: to - posted == 2 -> post_two(posted, 0)
        :: else -> post(posted, 0)
        fi;
        posted = to;
        if
        :: to == 2 -> break
        :: else
        fi
    od;
    atomic { finished[me] = 2; posted = 0; to = 0 }
}

/* Stream::stop(): everything that anybody may have mixed by the old range is mixed again. */
proctype dropper(byte me)
{
    poster_variables
    byte to;
#ifdef POSITION_FIRST
    to = mixed_to;
    store(TO_RANGE, 0);
#else
    store(TO_RANGE, 0);
#ifndef NO_DROP_FENCE
    fence();
#endif
    to = mixed_to;
#endif
    if
    :: to == 2 -> post_two(0, 0)
    :: else -> post(0, 0)
    fi;
    atomic { gone = 1; to = 0 }
}

/* Engine::mix_within_reach() */
proctype engine(byte me)
{
    poster_variables
    { extend() } unless { dead };
    atomic { sum = 0; from = 0; late = 0; changed = 0; over = 1 }
}

proctype fate()
{
end:
    atomic { empty(buffer[ENGINE]) && !over -> dead = 1 }
}

/* Tender::tend(): mixes what nobody has promised to; what the engine has left half done it repairs at a later look, when
 * that moves no more. */
proctype tender(byte me)
{
    poster_variables
    byte stuck;
    if
    :: mixed_to < 2 -> extend()
    :: mixed_to == 2
    fi;
    atomic { (over && empty(buffer[ENGINE])) || dead -> stuck = posting[ENGINE] };
    if
    :: stuck -> post(1, 0)
    :: else
    fi;
    atomic { mixed = 1; stuck = 0 }
}

active proctype device()
{
end:
    do
    :: atomic { at_work[0] == 0 -> assert(EXACT(0)) }
    :: atomic { (at_work[1] & ~(dead << ENGINE)) == 0 && mixed -> assert(EXACT(1)) }
    od
}

init
{
    atomic {
        range[0] = 1;
        range[1] = 2;
        ring[0] = BIT(0) | BIT(1);
        mixed_to = 1;
        run writer(0);
        run dropper(1);
        run engine(2);
        run fate();
        run tender(3)
    }
}
