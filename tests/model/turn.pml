/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * turn.pml: three posters while the device plays more than a turn of the ring, of which two blocks are
 * within reach. Poster 0 writes blocks 0 and 1, in one batch, or with ONE_BY_ONE in two. It may be
 * delayed at any instruction, longer than the ring lasts, and then goes on; or with DIE it may stop for
 * ever, and with RETIRE the engine is told. Poster 1 writes WRITES blocks, from block FIRST on. Poster 2
 * is the engine. Mutations: LOOK_AFTERWARDS_ONLY, NO_POSITION_CHECK, and ONLY_WHILE_ACTIVE: the engine
 * mixes what comes within reach only while somebody has a lane, here until poster 0 is done.
 */

#define LATE 0
#define DEAD LATE
#define WATCHED LATE
#define POSTERS 3
#define LANES 2
#ifndef RING
#define RING 3
#endif
#define REACH 2
#define DEPTH 4
#define TURNS
#ifndef LAST
#define LAST (RING + 2)
#endif
#ifndef WRITES
#define WRITES 1
#endif
#ifndef LAG /* of the engine, in cycles of one block */
#define LAG 1
#endif
#ifndef FIRST
#define FIRST RING /* the first block that poster 1 writes: at the place of the late one's first */
#endif
#define NOTE_STORE(place, poster) last_store[place] = (poster == LATE)

byte hw;      /* the kernel's pointer: blocks before it are played and silenced */
byte now;     /* block that is fetched next */
byte cycled;  /* position of the engine's last whole cycle */
byte want[LAST]; /* lanes that have to be heard in each block: posted, and in time */
byte promise[2]; /* ahead of the margin, and about to be posted: blocks before it (0); the block before it (1) */
byte aim, aim_late; /* the late one's `from` and `late` */
byte since;   /* `now` when the late one began its batch */
bit delayed;  /* the late one did not finish its batch within the margin */
bit dead;     /* the late one has stopped for ever */
bit over;     /* the late one has nothing more to write */
byte lost_at; /* `now` when it died */
bit retired;
byte fading;  /* the block before the horizon when it was retired: there it fades out, and what it spoilt stays */

#define ON_BEGIN if :: me == LATE -> since = now; aim = from; aim_late = 0 :: else fi
#define ON_FINISH(first, count) \
    if :: me == LATE -> finished_late(first, count); delayed = 0; since = 0; aim = 0; aim_late = 0 :: else fi
#define ON_AIM if :: me == LATE -> aim = from; aim_late = late :: else fi
#include "protocol.pml"

/* The late one has finished a batch: what is not played yet has to be heard. */
inline finished_late(first, count)
{
    want[first] = (first >= now -> MINE | want[first] : want[first]);
    want[first + count - 1] = (first + count - 1 >= now -> MINE | want[first + count - 1] : want[first + count - 1])
}

/* Time. The device plays a block when everybody who found it ahead of the margin is finished with it,
 * and the engine is less than a cycle late: that is what margin and cycle are chosen for. It waits for
 * nobody who is delayed or dead. */
#define AT_WORK ((at_work[0] | at_work[1]) & BIT(LATE))
#define AIMS_AT(block) (at_work[PLACE(block)] && (aim == block || aim + 1 == block || (aim_late && aim + RING == block)))
#define OTHERS_ON_TIME (cycled + LAG >= now && promise[1] != now + 1 && !(at_work[PLACE(now)] & ~BIT(LATE)))
#define ON_TIME (promise[0] <= now && (!AT_WORK || (since == now && !AIMS_AT(now))))

/* Guarantee 3: only the batch in flight is spoilt, where the late one stored last. */
#define SPOILT(place) ((delayed || dead) && (at_work[place] & BIT(LATE)) && last_store[place])
/* Guarantees 1 and 4: all that was posted in time, nothing that is not published, nothing of another turn. */
#define PUBLISHED(block) ((range[0] > block) | ((range[1] > block) << 1) | (dead && (!retired || block <= fading)))
#define EXACT(block, content) (((content) == 0 || BLOCK_OF(content) == block) && \
    (want[block] & ~LANES_IN(content)) == 0 && (LANES_IN(content) & ~PUBLISHED(block)) == 0)

active proctype device()
{
    do
    :: now < LAST ->
        atomic {
            OTHERS_ON_TIME ->
            if
            :: !ON_TIME -> delayed = (AT_WORK != 0); promise[LATE] = 0
            :: else
            fi;
            if
            :: SPOILT(PLACE(now)) -> assert(!dead || now <= lost_at + REACH) /* until it is repaired */
            :: else -> assert(EXACT(now, ring[PLACE(now)]))
            fi;
            want[now] = 0;
            now++
        };
        atomic { ring[PLACE(hw)] = 0; last_store[PLACE(hw)] = 0 }; /* the kernel silences, */
        hw = now                                                   /* and then says so */
    :: else -> break
    od
}

proctype late_poster(byte me)
{
    poster_variables
    {
#ifdef ONE_BY_ONE
        post(0, 0);
        post(1, 0)
#else
        post_two(0, 0)
#endif
    } unless { dead };
    atomic { over = 1; promise[me] = 0; sum = 0; changed = 0; overtaken = 0 }
}

#ifdef DIE
proctype fate()
{
end:
    atomic { empty(buffer[LATE]) && !over && AT_WORK -> dead = 1; lost_at = now }
}
#endif

/* Stream::write() of a block at a time, not before the horizon. */
proctype poster(byte me)
{
    poster_variables
    byte next = FIRST, writes, first, end;
    do
    :: atomic {
        writes < WRITES && next < LAST && now < LAST && now + 1 >= FIRST ->
        next = (next < now -> now : next);
        promise[me] = next + 1;
        store(TO_RANGE, next + 1)
       };
       atomic { /* Stream::post_reachable() */
        fence();
        first = next;
        end = (next < published + REACH -> next + 1 : next)
       };
       post_each();
       atomic { promise[me] = 0; want[next] = want[next] | MINE; next++; writes++ }
    :: atomic { writes == WRITES || next >= LAST || now >= LAST -> break }
    od;
    atomic { next = 0; writes = 0 }
}

/* Poster::repair_word(), with the position of the cycle. */
inline repair_word()
{
    atomic {
        stuck = (posting[LATE] != 0 && posting[LATE] == last -> posting[LATE] : 0);
        last = posting[LATE]
    };
    if
    :: stuck ->
        atomic {
            first = WORD_FIRST(stuck);
            end = first + WORD_COUNT(stuck);
            do
            :: end - 1 < position -> first = first + RING; end = end + RING
            :: else -> break
            od;
            again = (position > first -> first + RING : 0);
            first = (first <= now -> now + 1 : first) /* from the horizon on */
        };
        post_each();
        if
        :: again -> atomic { first = again; end = position + RING; again = 0 }; post_each()
        :: else
        fi
    :: else
    fi
}

/* Engine::cycle(), once for each time that the device's position has moved. */
proctype engine(byte me)
{
    poster_variables
    byte position, mixed_to = REACH, first, end, again, stuck, last;
    do
    :: atomic { hw != position ->
            position = hw;
            store(TO_PUBLISHED, position)
        };
        atomic { fence(); first = (mixed_to < now -> now : mixed_to); end = position + REACH; mixed_to = end };
#ifdef ONLY_WHILE_ACTIVE
        if
        :: over -> first = 0; end = 0
        :: else -> post_each()
        fi;
#else
        post_each(); /* mix_within_reach() */
#endif
#ifndef NO_REPAIR
        repair_word();
#endif
#ifdef RETIRE
        if
        :: dead && !retired -> /* begin_retiring() */
            atomic { store(RETIRE_RANGE, 0); store(RETIRE_POSTING, 0); first = now + 1; fading = now; end = position + REACH };
            post_each();
            atomic {
                retired = 1; want[0] = want[0] & ~BIT(LATE); want[1] = want[1] & ~BIT(LATE);
                at_work[0] = (PLACE(fading) == 0 -> at_work[0] : at_work[0] & ~BIT(LATE));
                at_work[1] = (PLACE(fading) == 1 -> at_work[1] : at_work[1] & ~BIT(LATE))
            }
        :: else
        fi;
#endif
        cycled = position
    :: atomic { now == LAST && position == LAST -> break }
    od;
    atomic { position = 0; mixed_to = 0; last = 0; stuck = 0 }
}

init
{
    atomic {
        range[LATE] = 2;
        promise[LATE] = 2;
        run late_poster(0);
        run poster(1);
#ifdef DIE
        run fate();
#endif
        run engine(2)
    }
}
