/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * posts.pml: three posters and two blocks, nobody stops. Each writes both blocks, at once (one batch)
 * or one after the other (two posts). With STOPPED poster 0 may stop for ever at any instruction; what
 * is asked then is only whether the others come to an end.
 */

#define POSTERS 3
#define LANES 3
#define RING 2
#define DEPTH 4
#include "protocol.pml"

/* Guarantee 1: at any moment at which nobody is at work on a block the device may play it; all
 * that is finished is in it, and nothing that is not published. */
#define FINISHED(b) ((finished[0] > b) | ((finished[1] > b) << 1) | ((finished[2] > b) << 2))
#define PUBLISHED(b) ((range[0] > b) | ((range[1] > b) << 1) | ((range[2] > b) << 2))
#define EXACT(b) ((FINISHED(b) & ~ring[b]) == 0 && (ring[b] & ~PUBLISHED(b)) == 0)

#ifdef STOPPED
bit stopped;

active proctype fate()
{
end:
    stopped = 1
}
#endif

inline write_both()
{
    if
    :: store(TO_RANGE, 2); /* Stream::publish_range() */
       post_two(0, 2)
    :: store(TO_RANGE, 1);
       post(0, 1);
       store(TO_RANGE, 2);
       post(1, 2)
    fi
}

proctype poster(byte me)
{
    poster_variables
#ifdef STOPPED
    { write_both() } unless { me == 0 && stopped }
#else
    write_both()
#endif
}

#ifndef STOPPED
active proctype device()
{
end:
    do
    :: atomic { at_work[0] == 0 -> assert(EXACT(0)) }
    :: atomic { at_work[1] == 0 -> assert(EXACT(1)) }
    od
}
#endif

init
{
    atomic {
        run poster(0);
        run poster(1);
        run poster(2)
    }
}
