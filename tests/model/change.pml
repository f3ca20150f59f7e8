/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * change.pml: three posters and two blocks. Poster 0's lane holds both blocks, and they are in the
 * ring; it takes them back and puts others there, while the other two write theirs.
 */

#define CHANGER 0
#define POSTERS 3
#define LANES 3
#define RING 2
#define DEPTH 4
bit gone;     /* the old content is taken back */
bit arrived;  /* the new one is finished */
#include "protocol.pml"

#define FINISHED(b) (((finished[1] > b) << 1) | ((finished[2] > b) << 2))
#define PUBLISHED(b) (1 | NEW | ((range[1] > b) << 1) | ((range[2] > b) << 2))
#define CHANGED_PART(b) (ring[b] & (BIT(CHANGER) | NEW))
#define EXACT(b) ((FINISHED(b) & ~ring[b]) == 0 && (ring[b] & ~PUBLISHED(b)) == 0 && \
                  (!gone || CHANGED_PART(b) != BIT(CHANGER)) && (!arrived || CHANGED_PART(b) == (BIT(CHANGER) | NEW)))

/* Stream::stop(), then prepare(), write() and start(); or Stream::write() over what is there. */
proctype changer(byte me)
{
    poster_variables
    if
    ::
        store(TO_RANGE, 0);
        post_two(0, 0);
        gone = 1;
        store(TO_CELL, 1);
        store(TO_CELL + 1, 1);
        store(TO_RANGE, 2)
    ::
        store(TO_CELL, 1);
        store(TO_CELL + 1, 1)
    fi;
    post_two(0, 2);
    atomic { gone = 1; arrived = 1 }
}

proctype poster(byte me)
{
    poster_variables
    store(TO_RANGE, 2);
    post_two(0, 2)
}

active proctype device()
{
end:
    do
    :: atomic { at_work[0] == 0 -> assert(EXACT(0)) }
    :: atomic { at_work[1] == 0 -> assert(EXACT(1)) }
    od
}

init
{
    atomic {
        range[CHANGER] = 2;
        ring[0] = BIT(CHANGER);
        ring[1] = BIT(CHANGER);
        run changer(0);
        run poster(1);
        run poster(2)
    }
}
