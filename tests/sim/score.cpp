// SPDX-License-Identifier: LGPL-2.1-or-later

#include "tests/sim/score.h"

#include "tests/sim/ear.h"

#include <algorithm>

namespace ringmix::sim {

Score::Score(Ear& its_ear, std::string name, const Voice& voice, std::uint32_t slot, std::uint32_t gain)
    : ear_(its_ear), name_(std::move(name)), voice_(voice), slot_(slot), cells_(its_ear.some_cells(least_cells)),
      target_(gain)
{
    level = gain;
    gain_word_ = peek::gain(slot).word;
}

void Score::prepare()
{
    unsure_ = false;
    running_ = false;
    placeless_ = false;
    runs_.clear();
    appl_ = end_ = end_low_ = floor_ = written_ = written_low_ = 0;
    if (converts())
        converted_->write(next_version(), INT64_MIN, INT64_MIN);
    late_possible = late_certain = false;
}

void Score::begin(Ask ask)
{
    unsure_ |= !ear_.quiet_time();
    ask_ = ask;
    began_ns_ = world->now();
    low_ = ear_.low();
    applied_ = stop_applied_ = cut_applied_ = started_ = may_start_ = cut_known_ = false;
    old_end_ = end_;
    late_frames_ = peek::late_frames(slot_);
    gap_to_ = 0;
    range_word_ = peek::range_word(slot_);
    tail_ = peek::tail(slot_, ear_.now());
    may_start_ = ask == Ask::start || ask == Ask::drain;
}

void Score::begin_write(std::uint64_t position, std::uint64_t frames, std::uint32_t version, bool may_start)
{
    begin(Ask::write);
    told_at_ = position;
    told_end_ = position + frames;
    late_end_ = 0;
    doubtful_ = false;
    write_at_ = first_with(position);
    write_frames_ = std::max(rung_out(position + frames), write_at_) - write_at_;
    write_version_ = version;
    if (converts())
        converted_->write(version, static_cast<std::int64_t>(position), static_cast<std::int64_t>(position + frames));
    may_start_ = may_start || floating_;
    if (floating_)
        running_ = false;
    if (running_)
        return;
    runs_before_ = runs_;
    const std::uint64_t from = std::max(write_at_, floor_); // what lies before was heard
    end_ = end_low_ = write_at_ + write_frames_;
    put_run(from, end_, version);
    cut_runs(end_);
}

void Score::begin_start(Ask ask)
{
    if (!running_ && appl_ != written_)
        sound_ends(appl_);
    begin(ask);
}

// The call stands: what it changes may have been changed or not.
void Score::perhaps_written()
{
    if (running_ && converts() && static_cast<std::int64_t>(told_at_) < changeable(ear_.high()))
        perhaps_seam();
    if (applied_ || !running_)
        return;
    applied_ = true;
    cut_applied_ = false;
    const std::uint64_t first = std::max(low_, origin_ + std::max(write_at_, floor_));
    for (std::uint64_t frame = first; frame < origin_ + write_at_ + write_frames_; frame++) {
        add(frame, {frame - origin_, write_version_, 0});
        if (frame < origin_ + old_end_) // libasound may write in two parts: the stream ends between them
            add(frame, {});
    }
    for (std::uint64_t frame = std::max(first, origin_ + write_at_ + write_frames_); frame < origin_ + old_end_;
         frame++)
        add(frame, {});
}

// A stream that begins at `first`.
void Score::place(std::uint64_t first)
{
    origin_ = first - floor_;
    started_ = true;
    for (std::uint64_t position = floor_; position < end_; position++)
        if (const Sound sound = sound_at(position); sound.version != 0)
            add(origin_ + position, sound);
}

bool Score::look_for_start()
{
    if (started_ || running_)
        return started_;
    const std::uint64_t word = peek::range_word(slot_);
    if (word == range_word_ || word == 0)
        return false;
    peek::Extent range = peek::range(slot_, low_);
    constexpr std::uint64_t far = std::uint64_t{1} << 37;
    if (range.end + far < ear_.now()) // or after a long sleep in this call
        if (const peek::Extent later = peek::range(slot_, ear_.now()); later.start < ear_.now() + far)
            range = later;
    place(range.start);
    return true;
}

void Score::passes()
{
    watch_gain();
    if (dead_ && !buried_)
        bury();
    switch (ask_) {
    case Ask::write:
        perhaps_written();
        if (may_start_)
            look_for_start();
        if (xrun_possible())
            perhaps_stopped();
        break;
    case Ask::drain:
        perhaps_limited();
        [[fallthrough]];
    case Ask::start:
        look_for_start();
        break;
    case Ask::pause:
    case Ask::drop:
    case Ask::close:
        if (running_)
            perhaps_stopped();
        break;
    case Ask::look:
        if (xrun_possible())
            perhaps_stopped();
        break;
    default:
        break;
    }
}

// Nothing was taken: nothing was changed, but perhaps before it was found to be late.
void Score::end_write_of_nothing(std::uint64_t position, std::uint64_t late, bool was_running, bool found)
{
    if (converts() && found && (late != 0 || position >= written_)) {
        late_end_ = told_end_;
        converted_->write(write_version_, static_cast<std::int64_t>(position + late),
                          static_cast<std::int64_t>(late_end_));
    } else if (converts()) {
        doubtful_ = found && world->now() != began_ns_;
        converted_->forget(write_version_);
    }
    if (!was_running) {
        runs_ = runs_before_;
        end_ = end_low_ = old_end_;
    }
}

void Score::end_write(std::uint64_t frames, bool running, bool found)
{
    const bool was_running = running_;
    unsure_ |= !ear_.quiet_time();
    const std::uint64_t position = told_at_;
    appl_ = position + frames;
    const std::uint64_t late = peek::late_frames(slot_) - late_frames_;
    if (converts() && frames != 0)
        converted_->write(write_version_, static_cast<std::int64_t>(position + late), static_cast<std::int64_t>(appl_));
    if (!was_running && running) {
        end_ = end_low_ = rung_out(appl_);
        written_ = written_low_ = appl_;
        cut_runs(end_);
        return end_start();
    }
    ask_ = Ask::none;
    if (!found)
        not_stopped();
    if (frames == 0)
        return end_write_of_nothing(position, late, was_running, found);
    if (!was_running) {
        if (write_at_ < floor_ && changeable(origin_ + floor_) > static_cast<std::int64_t>(position))
            late_possible = late_certain = true; // it was paused after it had run dry
        written_ = written_low_ = appl_;
        end_ = end_low_ = rung_out(appl_);
        return cut_runs(end_);
    }
    if (!found)
        ear_.wrote(this, began_ns_);
    no_seam();
    const std::uint64_t old_written = written_;
    settle_late(frames, late);
    const std::uint64_t kept = converts() && late == frames ? all_late(old_written) : appl_;
    const std::uint64_t high = ear_.high();
    const std::uint64_t from = origin_ + std::max(write_at_, floor_), to = origin_ + rung_out(kept);
    for (std::uint64_t frame = std::max(from, low_); frame < std::max(to, origin_ + old_end_); frame++) {
        const Sound sound = frame < to ? Sound{frame - origin_, write_version_, 0} : Sound{};
        if (frame < high)
            add(frame, sound);
        else
            set(frame, sound);
    }
    // It could not know that the device had leapt: what it plays on after a pause is whole.
    const std::uint64_t stored = ear_.quiet_since(began_ns_) ? std::max(from, low_) : from;
    if (stored < to)
        put_run(stored - origin_, to - origin_, write_version_);
    end_ = std::max(rung_out(written_), to - origin_);
    end_low_ = std::max(rung_out(written_low_), to - origin_);
    if (converts()) // the horizon may have passed what was to be taken back, since the program looked what is late
        end_ = std::max(end_, std::min(old_end_, high - std::min(high, origin_)));
    cut_runs(std::max(end_, high - std::min(high, origin_)));
}

// All of a writing came too late: what was there before is kept up to where it could be changed, and rings out. Where
// that was, is known by where the stream ends.
std::uint64_t Score::all_late(std::uint64_t old_written)
{
    const std::uint64_t end = peek::range(slot_, low_).end;
    const std::uint64_t most = std::min(old_written, static_cast<std::uint64_t>(changeable(ear_.high())));
    std::uint64_t kept = appl_;
    for (std::uint64_t position = appl_; position <= most; position++)
        if (origin_ + rung_out(position) == end)
            kept = position;
    converted_->write(write_version_, static_cast<std::int64_t>(kept), static_cast<std::int64_t>(kept));
    return kept;
}

// What of a writing came too late to be heard. What came too late to be taken back is still the sound's end.
void Score::settle_late(std::uint64_t frames, std::uint64_t late)
{
    const auto begin = static_cast<std::int64_t>(told_at_);
    const bool quiet = ear_.quiet_since(began_ns_); // or the program could not know
    const std::int64_t low = changeable(low_), high = changeable(ear_.high());
    late_possible |= begin < high;
    late_certain |= begin < low && quiet;
    const auto kept = [&](std::uint64_t end, std::int64_t first) {
        return std::max(appl_, std::min(end, static_cast<std::uint64_t>(std::max(first, begin))));
    };
    written_ = kept(written_, high);
    written_low_ = quiet ? kept(written_low_, low) : appl_;
    if (converts() && late < frames) // it could all be taken back behind what was late
        written_ = written_low_ = appl_;
    const std::int64_t from = begin + static_cast<std::int64_t>(late);
    if (converts() && late != 0 && quiet && late < frames && (from < low || from > high))
        fail("{}: {} frames at {} came too late, and it was {} to {}", name_, late, begin, low - begin, high - begin);
}

void Score::end_start()
{
    const std::uint64_t high = ear_.high();
    const bool stood = world->now() != began_ns_;
    unsure_ |= !ear_.quiet_time();
    look_for_start();
    ask_ = Ask::none;
    running_ = true;
    ear_.counts.streams++;
    if (!started_) { // nothing to play, or too late for all of it
        if (std::min(end_, end_low_) > floor_ && !floating_)
            fail("{}: it says that it runs, and nothing is published", name_);
        floating_ = true;
        return;
    }
    const std::uint64_t first = origin_ + floor_;
    if (floating_) {
        floating_ = false;
        const auto begin = static_cast<std::int64_t>(told_at_);
        late_possible |= first < high;
        late_certain |= (begin < changeable(low_) || begin < changeable(first)) && write_frames_ > 0;
        late_possible |= late_certain;
    } else {
        check_start(first, stood);
    }
    if (first < tail_until_)
        fail("{}: begins at frame {}, and its tail is heard until {}", name_, first, tail_until_);
    for (std::uint64_t position = floor_; position < std::max(end_, write_at_ + write_frames_); position++)
        if (const Sound sound = position < end_ ? sound_at(position) : Sound{}; origin_ + position < high)
            add(origin_ + position, sound);
        else
            set(origin_ + position, sound);
}

// Whether it begins where it may.
void Score::check_start(std::uint64_t first, bool stood) const
{
    const std::uint64_t high = ear_.high();
    const Ear::Truth& truth = ear_.truth();
    const std::uint64_t slack = std::clamp<std::uint64_t>(stream_buffer_ / 16, truth.rate / 2000, truth.rate / 50);
    if (!ear_.quiet_since(began_ns_) || (ear_.engine_late() && !ear_.truth().tended))
        return; // positions are what they are
    if (first < low_ + (stood ? 0 : slack))
        fail("{}: begins at frame {}, before {} + {}", name_, first, low_, slack);
    else if (first > std::max(high + slack * (stood ? 16 : 1),
                              tail_until_ + truth.margin + (truth.is_virtual ? 2 * truth.cycle : 0)) +
                         2)
        fail("{}: begins at frame {}, long after {} + {} (tail until {})", name_, first, high, slack, tail_until_);
}

bool Score::over() const noexcept
{
    return !running_ && ask_ == Ask::none && (!dead_ || buried_) && last_ <= ear_.heard_to();
}

std::int64_t Score::room_low() const noexcept
{
    return static_cast<std::int64_t>(buffer_) + changeable(ear_.low()) - static_cast<std::int64_t>(appl_);
}

std::int64_t Score::room_high() const noexcept
{
    return static_cast<std::int64_t>(buffer_) + changeable(ear_.high()) - static_cast<std::int64_t>(appl_);
}

bool Score::xrun_due() const noexcept
{
    return running_ && stops_ && !floating_ &&
           (late_certain || room_low() >= static_cast<std::int64_t>(stop_threshold_));
}

bool Score::xrun_possible() const noexcept
{
    return running_ && stops_ &&
           (floating_ || late_possible || room_high() >= static_cast<std::int64_t>(stop_threshold_));
}

} // namespace ringmix::sim
