/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * reach.pml: three posters and two blocks, the second of which is beyond reach until the engine has
 * published the device's next position. Poster 0 writes the second block (the first is there already); poster 1 drops both, which it
 * has written before; poster 2 is the engine.
 */

#define POSTERS 3
#define LANES 2
#define RING 2
#define DEPTH 4
#define REACH 1
bit mixed; /* the engine has published, and mixed what came within reach */
bit gone;  /* what is dropped must not be heard any more */
#include "protocol.pml"

#define PUBLISHED(b) ((range[0] > b) | ((range[1] > b || !gone) << 1))
#define EXACT(b) (((finished[0] > b) & ~ring[b]) == 0 && (ring[b] & ~PUBLISHED(b)) == 0)

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
        to = (published + REACH < 2 -> published + REACH : 2);
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
    to = published + REACH;
    store(TO_RANGE, 0);
#else
    store(TO_RANGE, 0);
#ifndef NO_DROP_FENCE
    fence();
#endif
    to = published + REACH;
#endif
    if
    :: to == 2 -> post_two(0, 0)
    :: else -> post(0, 0)
    fi;
    atomic { gone = 1; to = 0 }
}

/* Engine::cycle() */
proctype engine(byte me)
{
    poster_variables
    store(TO_PUBLISHED, 1);
    post(1, 0); /* Engine::mix_within_reach(): the fence between the two is the one behind the bump */
    mixed = 1
}

active proctype device()
{
end:
    do
    :: atomic { at_work[0] == 0 -> assert(EXACT(0)) }
    :: atomic { at_work[1] == 0 && mixed -> assert(EXACT(1)) }
    od
}

init
{
    atomic {
        range[0] = 1;
        range[1] = 2;
        ring[0] = BIT(0) | BIT(1);
        run writer(0);
        run dropper(1);
        run engine(2)
    }
}
