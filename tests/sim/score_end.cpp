// SPDX-License-Identifier: LGPL-2.1-or-later
//
// How a stream ends: what is still heard of it, and where it goes on.

#include "tests/sim/score.h"

#include "tests/sim/ear.h"

#include <algorithm>
#include <utility>

namespace ringmix::sim {

bool Score::look_for_cut()
{
    if (cut_known_)
        return true;
    // It is told modulo 2^40, and ends where the stream does or before.
    const peek::Tail tail = peek::tail(slot_, origin_ + end_);
    if (tail.word == tail_.word || tail.frames.empty())
        return false;
    cut_end_ = tail.frames.end;
    cut_ = tail.frames.end - std::min(tail.fade, tail.frames.end);
    cut_known_ = true;
    return true;
}

// Between range and tail (docs/mixing.md) it is in neither, and who mixes then leaves it out.
void Score::perhaps_in_gap()
{
    if (!(running_ || started_) || peek::range_word(slot_) != 0 || peek::tail_shown(slot_))
        return;
    const std::uint64_t now = ear_.now_before(); // when somebody ran last
    // What the virtual device plays can still be changed, by one who began when it was ahead.
    const std::uint64_t first = ear_.truth().is_virtual
                                    ? ear_.heard_to()
                                    : std::max(now - std::min<std::uint64_t>(now, ear_.truth().lag), ear_.heard_to());
    const std::uint64_t last = std::min(ear_.high(), last_);
    for (std::uint64_t frame = from_cells(std::max(first, gap_to_)); frame < last; frame++) {
        if (const Cell* old = cell(frame); old != nullptr && old->count != 0) {
            add(frame, {});
            cells_[frame].before = old->count;
            ear_.counts.gap++;
        }
    }
    gap_to_ = std::max(gap_to_, last);
}

void Score::perhaps_stopped()
{
    perhaps_in_gap();
    if (ask_ == Ask::look || ask_ == Ask::write)
        perhaps_seam();
    const bool known = look_for_cut();
    if (stop_applied_ && (cut_applied_ || !known))
        return;
    for (std::uint64_t frame = from_cells(low_); frame < last_; frame++) {
        const Cell* old = cell(frame);
        if (old == nullptr || old->count == 0)
            continue;
        if (!stop_applied_) {
            cells_[frame].before = old->count;
            add(frame, {});
        }
        if (!known || frame < cut_ || frame >= cut_end_)
            continue;
        std::array<Sound, Cell::most> was;
        for (const Sound& sound : cells_.copy(*old, was))
            if (sound.version != 0 && sound.fade == 0)
                add(frame, fading(sound));
    }
    stop_applied_ = true;
    cut_applied_ = known;
}

// As the tail says where it was cut, in a place where it may be.
void Score::settle_stop(bool certain)
{
    const std::uint64_t first = origin_ + floor_, end = origin_ + old_end_;
    const std::uint64_t now = ear_.now(), high = ear_.high(), end_low = std::min(end, origin_ + end_low_);
    if (!look_for_cut()) {
        // Who gives his lane back waits until the tail has been played, and empties it.
        const bool emptied = peek::tail(slot_, 0).word == 0 && end <= ear_.now();
        if (std::max(first, low_) < end_low && first < low_ && ear_.quiet_since(began_ns_) && certain && !emptied)
            fail("{}: was stopped at {} to {}, has begun at {}, and has no tail", name_, low_, high, first);
        cut_ = cut_end_ = first; // nothing of it was to be heard
        if (end <= low_)
            return;
    } else if (ear_.quiet_since(began_ns_)) {
        const std::uint64_t at_least = std::min(end_low, std::max(first, low_));
        const std::uint64_t at_most = std::min(end, std::max(first, high + (rings_ ? ring_out_ : 0)));
        if (cut_ < at_least || cut_ > at_most)
            fail("{}: was cut at {}, not between {} and {} (stream {} to {}, tail {:x}, before {:x})", name_, cut_,
                 at_least, at_most, first, end, peek::tail(slot_, 0).word, tail_.word);
    }
    if (certain)
        for (std::uint64_t frame = from_cells(low_); stop_applied_ && frame < std::min(cut_, last_); frame++)
            if (Cell& kept = cells_[frame]; kept.count > kept.before)
                kept.count = kept.before; // as it was
    if (cut_known_)
        tail_until_ = std::max(tail_until_, cut_end_);
    for (std::uint64_t frame = from_cells(std::max(cut_, low_)); frame < last_; frame++) {
        const Cell* old = cell(frame);
        if (old == nullptr || old->count == 0)
            continue;
        std::array<Sound, Cell::most> copies;
        const std::span<Sound> was = cells_.copy(*old, copies);
        const bool half_made = old->seam && !certain; // it has died at it
        // What the virtual device has not taken out of the ring yet is nobody's to change either.
        const bool sure = frame >= high || (certain && frame >= now);
        if (sure)
            set(frame, {});
        else
            add(frame, {});
        if (frame >= cut_end_)
            continue;
        for (Sound& sound : was) {
            if (sound.version == 0 || (sound.fade != 0 && fade(sound.fade).start != cut_))
                continue;
            sound = fading(sound);
            if (sure && was.size() == 1)
                set(frame, sound);
            else
                add(frame, sound);
            cells_[frame].anything |= half_made;
        }
    }
}

void Score::end_stop(bool faded)
{
    const bool was_running = running_;
    unsure_ |= !ear_.quiet_time();
    ask_ = Ask::none;
    no_seam();
    running_ = false;
    unplaced_ = std::exchange(floating_, false);
    if (!was_running || unplaced_)
        return;
    settle_stop(true);
    const std::uint64_t most = ear_.truth().fade;
    const auto expected = [&](std::uint64_t end) {
        return faded ? std::min(most, std::max(origin_ + end, cut_) - cut_) : 0;
    };
    if (const std::uint64_t fade = cut_end_ - cut_;
        cut_known_ && ear_.quiet_since(began_ns_) && (fade < expected(end_low_) || fade > expected(old_end_)))
        fail("{}: fades over {} frames, not {} to {}", name_, fade, expected(end_low_), expected(old_end_));
}

void Score::end_nothing()
{
    not_stopped();
    ask_ = Ask::none;
}

// The call could have ended it, and has not.
void Score::not_stopped()
{
    for (std::uint64_t frame = from_cells(low_); stop_applied_ && frame < last_; frame++)
        if (Cell& kept = cells_[frame]; kept.count > kept.before)
            kept.count = kept.before;
    stop_applied_ = false;
    no_seam();
}

void Score::no_seam()
{
    for (std::uint64_t frame = from_cells(low_); converts() && frame < last_; frame++)
        cells_[frame].seam = false;
}

void Score::end_xrun()
{
    if (!xrun_possible() && ear_.quiet_time())
        fail("{}: an underrun is reported, with room for {} to {} of {} frames", name_, room_low(), room_high(),
             stop_threshold_);
    ear_.counts.xruns++;
    old_end_ = std::max(old_end_, end_);
    rings_ = converts();
    if (rings_ && running_ && !floating_)
        ring_out();
    end_stop(false);
    rings_ = doubtful_ = false;
    late_end_ = 0;
    late_possible = late_certain = false;
}

// A converted sound ends where it can still be changed, in whole frames of the program, and what was before rings
// out: where that is, is known by where the tail ends. Often it could be one of several places, which sound alike.
void Score::ring_out()
{
    const std::uint64_t high = ear_.high();
    const std::uint64_t written = std::max(written_, late_end_);
    if (!look_for_cut() || changeable(low_) >= static_cast<std::int64_t>(written))
        return;
    not_stopped(); // as it was, before what follows
    std::vector<std::uint64_t> ends;
    const std::uint64_t longest = cut_end_ - std::min(cut_end_, 2 * ring_out_ + 2);
    for (std::uint64_t horizon = std::max(low_, longest); horizon <= std::min(high, cut_end_); horizon++) {
        const auto position = static_cast<std::uint64_t>(changeable(horizon));
        const std::uint64_t end = origin_ + rung_out(position);
        const bool cut_short = end > cut_end_ && cut_end_ >= horizon + ring_out_ && cut_end_ <= high + ring_out_;
        if (position < written && (end == cut_end_ || cut_short) && (ends.empty() || ends.back() != position))
            ends.push_back(position);
    }
    const bool perhaps_whole = changeable(high) >= static_cast<std::int64_t>(written_low_);
    const bool whole = cut_end_ >= origin_ + std::min(end_low_, old_end_) &&
                       cut_end_ <= origin_ + std::max(old_end_, rung_out(late_end_));
    if (ends.empty() && !whole && ear_.quiet_since(began_ns_))
        fail("{}: rings out until {}, and can be changed from {} to {} on", name_, cut_end_, changeable(low_),
             changeable(high));
    for (const std::uint64_t position : ends) {
        const std::uint32_t version = next_version();
        converted_->write(version, static_cast<std::int64_t>(position), static_cast<std::int64_t>(position));
        for (std::uint64_t frame = std::max(low_, origin_ + first_with(position)); frame < cut_end_; frame++) {
            const Sound sound{frame - origin_, version, 0};
            if (frame < high || perhaps_whole || ends.size() > 1) // it may have passed before that was made
                add(frame, sound);
            else
                set(frame, sound);
            cells_[frame].anything |= doubtful_;
        }
        // For the next of them the sound is as it was.
        converted_->end_with(version);
    }
    if (!ends.empty())
        end_low_ = cut_end_ - origin_;
}

// While a call stands that may make anew what is nearest to the horizon, nobody knows what of it.
void Score::perhaps_seam()
{
    if (!converts() || changeable(low_) >= static_cast<std::int64_t>(std::max(written_, told_end_)))
        return;
    const std::uint64_t end = std::min(ear_.high() + ring_out_, last_);
    for (std::uint64_t frame = from_cells(low_); frame < end; frame++)
        cells_[frame].seam = true;
}

// What the program was told: where it goes on.
void Score::paused_at(std::int64_t position)
{
    if (converts()) {
        const bool began = origin_ + floor_ < ear_.high();
        const bool known = cut_known_ && cut_ < origin_ + std::min(old_end_, end_low_);
        if (!unplaced_ && known)
            floor_ = cut_ - origin_;
        placeless_ = unplaced_ || (began && !known);
        if (!placeless_ && changeable(0) != position)
            fail("{}: was cut at frame {}, position {}, and says {}", name_, cut_, changeable(0), position);
        return;
    }
    if (unplaced_) {
        floor_ = static_cast<std::uint64_t>(position);
        return;
    }
    const auto stands = origin_ + static_cast<std::uint64_t>(position);
    const std::uint64_t first = origin_ + floor_;
    if (ear_.quiet_since(began_ns_) && (stands < std::max(first, low_) || stands > std::max(first, ear_.high())))
        fail("{}: paused at frame {}, not between {} and {}", name_, stands, low_, ear_.high());
    if (cut_known_ && cut_ < origin_ + std::min(old_end_, end_low_) && stands != cut_)
        fail("{}: was cut at frame {}, and says {}", name_, cut_, stands);
    floor_ = static_cast<std::uint64_t>(position);
}

void Score::drained()
{
    ask_ = Ask::none;
    running_ = floating_ = false;
    tail_until_ = std::max(tail_until_, origin_ + std::max(end_, rung_out(appl_)));
    ear_.counts.drains++;
}

// A drain stands: what was rewound before it may have been taken back.
void Score::perhaps_limited()
{
    if (!running_ || stop_applied_ || appl_ >= written_)
        return;
    stop_applied_ = true;
    for (std::uint64_t frame = from_cells(std::max(low_, origin_ + appl_)); frame < last_; frame++) {
        if (const Cell* old = cell(frame); old != nullptr && old->count != 0) {
            cells_[frame].before = old->count;
            add(frame, {});
        }
    }
}

// The sound ends at `position`: what is later is taken back. (One that is converted is not shortened so.)
void Score::limit(std::uint64_t position)
{
    if (position >= written_)
        return;
    for (std::uint64_t frame = std::max(low_, origin_ + position); running_ && frame < origin_ + end_; frame++) {
        if (frame < ear_.high())
            add(frame, {});
        else
            set(frame, {});
    }
    stop_applied_ = false; // what was perhaps taken back, is
    end_ = end_low_ = written_ = written_low_ = position;
    cut_runs(end_);
}

// The same of one that does not run.
void Score::sound_ends(std::uint64_t position)
{
    written_ = written_low_ = position;
    end_ = end_low_ = rung_out(position);
    if (converts()) {
        const std::uint32_t version = next_version();
        converted_->write(version, static_cast<std::int64_t>(position), static_cast<std::int64_t>(position));
        put_run(std::max(first_with(position), floor_), end_, version);
    }
    cut_runs(end_);
}

void Score::die()
{
    dead_ = true;
    died_ns_ = world->now();
    died_looks_ = world->looks;
    ear_.counts.deaths++;
    if (ask_ == Ask::none) {
        low_ = ear_.low();
        began_ns_ = world->now();
        tail_ = peek::tail(slot_, ear_.now());
        cut_known_ = false;
        old_end_ = end_;
        stop_applied_ = false;
    }
}

// The server takes the place of one that has died.
void Score::bury()
{
    constexpr std::int64_t soon = 60 * ms;
    if (!running_ && !started_)
        look_for_start();
    const bool range = peek::range_word(slot_) != 0;
    if (peek::retiring(slot_))
        perhaps_in_gap();
    if (!peek::active(slot_) || peek::retiring(slot_)) {
        if (peek::retiring(slot_) && (range || ear_.engine_stalled()))
            return; // at it
        buried_ = true;
        world->note("is buried, slot", slot_);
        if (running_ || started_) {
            running_ = true;
            if (ask_ == Ask::write)
                old_end_ = std::max({old_end_, end_, write_at_ + write_frames_});
            cut_known_ = false;
            if (look_for_cut()) {
                settle_stop(false);
            } else {
                for (std::uint64_t frame = from_cells(low_); frame < last_; frame++)
                    if (cell(frame) != nullptr)
                        add(frame, {});
            }
        }
        running_ = false;
        silent_ = true;
        ask_ = Ask::none;
        return;
    }
    if (world->now() > died_ns_ + soon && world->looks > died_looks_ + Ear::prompt && range && !ear_.engine_late())
        fail("{}: dead, and the server has not noticed", name_);
}

} // namespace ringmix::sim
