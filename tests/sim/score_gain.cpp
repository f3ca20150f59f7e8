// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Gains: what was asked for, and what the server makes of it.

#include "tests/sim/score.h"

#include "tests/sim/ear.h"

#include <algorithm>

namespace ringmix::sim {

std::uint64_t Score::gain_at(std::uint64_t frame) const noexcept
{
    for (auto ramp = ramps_.rbegin(); ramp != ramps_.rend(); ++ramp)
        if (frame >= ramp->start)
            return on_line(ramp->from, ramp->to, frame - ramp->start, ramp->length);
    return ramps_.empty() ? target_ : ramps_.front().from;
}

void Score::withdraw_gain(std::uint32_t gain)
{
    std::erase_if(asked_, [gain](const Asked& asked) { return asked.gain == gain; });
}

void Score::ask_gain(std::uint32_t gain)
{
    asked_.push_back({gain, ear_.low(), world->now(), world->looks});
    ear_.counts.gains++;
}

// A change of gain begins where the server says, if that is a place where it may begin.
void Score::watch_gain()
{
    constexpr std::int64_t soon = 60 * ms;
    if (silent_)
        return;
    const peek::Gain gain = peek::gain(slot_);
    if (gain.word == gain_word_) {
        if (!asked_.empty() && !dead_ && world->now() > std::max(asked_.front().time, ear_.disturbed_until()) + soon &&
            world->looks > asked_.front().looks + Ear::prompt && !ear_.stands() && !ear_.engine_late() &&
            asked_.back().gain != target_)
            fail("{}: a gain of {} was asked for at {:.6f} s and is not made, in slot {}", name_, asked_.front().gain,
                 static_cast<double>(asked_.front().time) / 1e9, slot_);
        return;
    }
    gain_word_ = gain.word;
    ear_.all_changed();
    world->note("the server changes a gain to, until, slot", gain.target, gain.end, slot_);
    if (gain.target == target_) // from what it was, or is to be, to the same
        return forget_asked(gain.target);
    const auto wanted = [&](const Asked& a) { return a.gain == gain.target; };
    auto made = std::find_if(asked_.begin(), asked_.end(), wanted);
    if (made == asked_.end()) {
        made = std::find_if(perhaps_asked_.begin(), perhaps_asked_.end(), wanted);
        if (made == perhaps_asked_.end())
            fail("{}: gain becomes {}, and nobody has asked for that", name_, gain.target);
    }
    const std::uint32_t length = ear_.truth().fade;
    const std::uint64_t start = gain.end - length;
    if (!gain.flat) {
        if ((start < std::min(made->low, ear_.cycle_low()) || start > ear_.high()) && ear_.quiet_time() &&
            !ear_.engine_late())
            fail("{}: gain changes from frame {} on, not between {} and {}", name_, start, made->low, ear_.high());
        newest_ramp_ns_ = world->now();
        const auto from = static_cast<std::uint32_t>(gain_at(start));
        std::erase_if(ramps_, [&](const Ramp& ramp) { return ramp.start + ramp.length + ear_.truth().rate < start; });
        ramps_.push_back({start, length, from, gain.target});
    } else {
        fail("{}: gain becomes {} at once", name_, gain.target);
    }
    target_ = gain.target;
    forget_asked(gain.target);
}

bool Score::gain_unsure(std::uint64_t frame) const noexcept
{
    const std::int64_t repaired = ear_.truth().tended ? ear_.repaired_ns() : 20 * ms;
    return !ramps_.empty() && frame >= ramps_.back().start && world->now() < newest_ramp_ns_ + repaired;
}

// The server makes the last of several changes, or some of those before it as well.
void Score::forget_asked(std::uint32_t gain)
{
    std::size_t count = 0;
    for (std::size_t i = 0; i < asked_.size(); i++)
        if (asked_[i].gain == gain)
            count = i + 1;
    std::erase_if(perhaps_asked_, [](const Asked& asked) { return world->now() > asked.time + second; });
    perhaps_asked_.insert(perhaps_asked_.end(), asked_.begin(), asked_.begin() + static_cast<std::ptrdiff_t>(count));
    asked_.erase(asked_.begin(), asked_.begin() + static_cast<std::ptrdiff_t>(count));
}

} // namespace ringmix::sim
