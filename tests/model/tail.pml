/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * tail.pml: a stream ends (src/core/tail.cpp, leave_tail()) while two others post the same block. What it had
 * there passes from its range to its tail, and the tail of the stream before gives way; both tails have the
 * block, so that a mixture of the two shows. The one that ends may stop for ever at any instruction before its
 * post. By itself: store buffers, ARM64 (WEAK), bumps and versions are as in protocol.pml.
 *
 * Mutations: NO_TAIL_FENCE (behind the bumps), NO_FIRST_BUMP, NO_SECOND_BUMP, SHOWN_TOO_EARLY (the tail before
 * the range is empty).
 */

#define ENDER 0
#define PROCS 3
#define BIT(p) (1 << (p))
#define MINE BIT(me)

#define OLD 1
#define NEW 2
/* What the block of the ring contains of the stream: from its range, from the old tail, from the new one;
 * GARBAGE is the frames of one tail with phase and gain of the other. */
#define BY_RANGE 1
#define BY_OLD 2
#define BY_NEW 4
#define GARBAGE 8

bit range = 1;     /* SlotStream::range: the block is in it */
bit flag = 1;      /* tail_flag in SlotStream::phase */
byte frames = OLD; /* SlotTail::range: of which tail */
byte how = OLD;    /* SlotTail::phase, gain and fade_frames */
byte ring[1] = BY_RANGE | BY_OLD;

byte moved;   /* the version has moved since these looked */
#ifdef WEAK
bit locked;   /* a bump has read the version but is not visible yet */
#endif
byte at_work; /* who posts the block, or is going to */
bit stopped;  /* the ender, for ever */
bit over;     /* the ender has posted */

#define TO_RING 0
#define TO_RANGE 1
#define TO_FLAG 2
#define TO_FRAMES 3
#define TO_HOW 4
#define TO_VERSION 5
chan buffer[PROCS] = [4] of { byte, byte };

inline store(where, value)
{
    assert(nfull(buffer[me]));
    buffer[me]!where, value
}
inline fence()
{
    empty(buffer[me])
}

inline land(p)
{
    atomic {
        buffer[p]?where, what ->
        if
        :: where == TO_RING -> ring[0] = what
        :: where == TO_RANGE -> range = what
        :: where == TO_FLAG -> flag = what
        :: where == TO_FRAMES -> frames = what
        :: where == TO_HOW -> how = what
#ifdef WEAK
        :: where == TO_VERSION -> locked = 0; moved = moved | (at_work & ~BIT(p))
#endif
        fi;
        where = 0;
        what = 0
    }
}
/* On ARM64 plain stores wait for nothing; a fence that releases, and stores that do, are in order. */
#ifdef WEAK
#define landings(p) land(p) :: atomic { buffer[p]??eval(TO_RING), what -> ring[0] = what; what = 0 }
#ifdef NO_TAIL_FENCE
#define PLAIN_TAIL :: atomic { buffer[ENDER]??eval(TO_HOW), what -> how = what; what = 0 }
#endif
#else
#define landings(p) land(p)
#endif
#ifndef PLAIN_TAIL
#define PLAIN_TAIL
#endif

active proctype memory()
{
    byte where, what;
end:
    do
    :: landings(0)
    :: landings(1)
    :: landings(2)
    PLAIN_TAIL
    od
}

inline bump()
{
#ifdef WEAK
    atomic { empty(buffer[me]) && !locked -> locked = 1; moved = moved & ~MINE; buffer[me]!TO_VERSION, 0 }
#else
    atomic { empty(buffer[me]) -> moved = (moved | at_work) & ~MINE }
#endif
}

/* Poster::post(), and add_slot() of this one slot: range, then phase, then the tail. */
inline post()
{
    bump();
#ifdef WEAK
    fence();
#endif
    do
    ::
        sum = range * BY_RANGE;
        seen = flag;
        if
        :: seen -> seen = frames;
            atomic { sum = sum | (seen != how -> GARBAGE : (seen == OLD -> BY_OLD : BY_NEW)); store(TO_RING, sum); sum = 0; seen = 0 }
        :: else -> atomic { store(TO_RING, sum); sum = 0 }
        fi;
        atomic {
            fence();
            if
            :: moved & MINE -> moved = moved & ~MINE
            :: else -> at_work = at_work & ~MINE; break
            fi
        }
    od
}

proctype ender(byte me)
{
    byte sum, seen;
    {
        store(TO_FLAG, 0);
#ifndef NO_FIRST_BUMP
        bump();
#endif
        store(TO_HOW, NEW);
        store(TO_FRAMES, NEW);
#ifdef SHOWN_TOO_EARLY
        store(TO_FLAG, 1);
        bump();
        store(TO_RANGE, 0);
#else
        store(TO_RANGE, 0);
#ifndef NO_SECOND_BUMP
        bump();
#endif
        store(TO_FLAG, 1);
#endif
    } unless { stopped };
    if
    :: stopped -> at_work = at_work & ~MINE
    :: else -> post(); over = 1
    fi
}

proctype fate()
{
end:
    atomic { (at_work & BIT(ENDER)) && !over -> stopped = 1 }
}

proctype poster(byte me)
{
    byte sum, seen;
    post()
}

/* The block may be played whenever nobody is at work on it. Nothing is heard twice, and nothing that is neither
 * tail nor stream; when the ender has posted, the new tail is what is heard. */
active proctype device()
{
end:
    do
    :: atomic { at_work == 0 ->
        assert((ring[0] & GARBAGE) == 0 && (ring[0] & (BY_RANGE | BY_NEW)) != (BY_RANGE | BY_NEW) && (!over || ring[0] == BY_NEW))
       }
    od
}

init
{
    atomic {
        at_work = 7;
        run ender(0);
        run poster(1);
        run poster(2);
        run fate()
    }
}
