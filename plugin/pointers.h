// SPDX-License-Identifier: LGPL-2.1-or-later
//
// pointers.h: between ALSA's pointers, which wrap at the boundary and can be set back to 0, and positions, which
// do neither. Pure arithmetic, noexcept; under the PCM's lock, but for position_of() and played(), any thread.

#pragma once

#include <cstdint>

namespace ringmix::plugin {

class Pointers {
public:
    // Of sw_params; 0: not configured.
    void set_boundary(std::uint64_t frames) noexcept { boundary_ = frames; }
    std::uint64_t boundary() const noexcept { return boundary_; }

    // Both pointers are 0 now, which is `position`: of all that was written, and all that was played.
    void restart(std::uint64_t position) noexcept
    {
        base_ = written_ = played_ = position;
        appl_ptr_ = told_ = 0;
    }
    std::uint64_t base() const noexcept { return base_; }

    // snd_pcm_reset() sets both pointers to 0 without a word. hw_ptr is otherwise what pointer() told last. Where
    // that was 0 (nothing was played yet, or it has just wrapped), all that was written has been taken back; whoever
    // has rewound so far gets the same.
    bool reset(std::uint64_t hw_ptr, std::uint64_t appl_ptr) const noexcept
    {
        return hw_ptr != told_ || (hw_ptr == 0 && appl_ptr == 0 && position_of(0) != written_);
    }

    // Where an appl_ptr is, at most half the boundary from what was written last: rewinds are behind it.
    std::uint64_t position_of(std::uint64_t appl_ptr) const noexcept
    {
        const std::uint64_t forward = appl_ptr >= appl_ptr_ ? appl_ptr - appl_ptr_ : appl_ptr + boundary_ - appl_ptr_;
        if (forward <= boundary_ / 2)
            return written_ + forward;
        const std::uint64_t back = boundary_ - forward;
        return written_ > back ? written_ - back : 0;
    }
    // `frames` have been written at `appl_ptr`.
    void write(std::uint64_t appl_ptr, std::uint64_t frames) noexcept
    {
        written_ = position_of(appl_ptr) + frames;
        appl_ptr_ = (appl_ptr + frames) % boundary_;
    }
    std::uint64_t written() const noexcept { return written_; }

    // What pointer() is to say when all before `position` has been played.
    std::uint64_t tell(std::uint64_t position) noexcept
    {
        played_ = position;
        return told_ = (position - base_) % boundary_;
    }
    // And one frame more, for once; played() stays.
    std::uint64_t tell_one_more() noexcept { return told_ = (played_ + 1 - base_) % boundary_; }
    std::uint64_t played() const noexcept { return played_; }

private:
    std::uint64_t boundary_ = 0;
    std::uint64_t base_ = 0;     // position of pointer 0
    std::uint64_t written_ = 0;  // position of appl_ptr_
    std::uint64_t appl_ptr_ = 0; // behind the last write
    std::uint64_t played_ = 0;
    std::uint64_t told_ = 0; // what pointer() said last
};

} // namespace ringmix::plugin
