// SPDX-License-Identifier: LGPL-2.1-or-later

#include "tests/sim/score.h"

#include "tests/sim/ear.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace ringmix::sim {

namespace {
constexpr std::size_t least_cells = 1 << 12;
} // namespace

Score::Score(Ear& its_ear, std::string name, const Voice& voice, std::uint32_t slot, std::uint32_t gain)
    : ear_(its_ear), name_(std::move(name)), voice_(voice), slot_(slot), cells_(its_ear.some_cells(least_cells)),
      target_(gain)
{
    level = gain;
    gain_word_ = peek::gain(slot).word;
}

void Score::configure(const Voice& voice, std::uint64_t buffer_frames, std::uint64_t stop_threshold, bool stops)
{
    voice_ = voice;
    buffer_ = buffer_frames;
    stop_threshold_ = stop_threshold;
    stops_ = stops;
    const std::size_t wanted = std::bit_ceil(2 * buffer_frames + ear_.truth().rate / 4 + 4096);
    if (wanted > cells_.size()) { // what is still to be heard goes along
        std::vector<Cell> larger = ear_.some_cells(wanted);
        for (const Cell& cell : cells_)
            if (cell.frame != ~std::uint64_t{0} && cell.frame < last_ && cell.frame + cells_.size() >= last_)
                larger[cell.frame & (larger.size() - 1)] = cell;
        cells_.swap(larger);
        ear_.spare_cells(std::move(larger));
    }
}

void Score::prepare()
{
    running_ = false;
    runs_.clear();
    appl_ = end_ = end_low_ = floor_ = 0;
    late_possible = late_certain = false;
}

void Score::begin(Ask ask)
{
    ask_ = ask;
    began_ns_ = world->now();
    low_ = ear_.low();
    applied_ = stop_applied_ = started_ = may_start_ = cut_known_ = false;
    old_end_ = end_;
    gap_to_ = 0;
    range_word_ = peek::range_word(slot_);
    tail_ = peek::tail(slot_, ear_.now());
    may_start_ = ask == Ask::start || ask == Ask::drain;
}

void Score::begin_write(std::uint64_t position, std::uint64_t frames, std::uint32_t version, bool may_start)
{
    begin(Ask::write);
    write_at_ = position;
    write_frames_ = frames;
    write_version_ = version;
    may_start_ = may_start || floating_;
    if (floating_)
        running_ = false;
    if (running_)
        return;
    runs_before_ = runs_;
    const std::uint64_t from = std::max(position, floor_); // what lies before was heard
    put_run(from, position + frames, version);
    end_ = end_low_ = position + frames;
    cut_runs(end_);
}

// The call stands: what it changes may have been changed or not.
void Score::perhaps_written()
{
    if (applied_ || !running_)
        return;
    applied_ = true;
    const std::uint64_t first = std::max(low_, origin_ + write_at_);
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
    place(peek::range(slot_, ear_.now()).start);
    return true;
}

bool Score::look_for_cut()
{
    if (cut_known_)
        return true;
    const peek::Tail tail = peek::tail(slot_, ear_.now());
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
    for (std::uint64_t frame = std::max(first, gap_to_); frame < last; frame++) {
        if (const Cell* old = cell(frame); old != nullptr && old->count != 0) {
            add(frame, {});
            cells_[frame & (cells_.size() - 1)].before = old->count;
            ear_.counts.gap++;
        }
    }
    gap_to_ = std::max(gap_to_, last);
}

void Score::perhaps_stopped()
{
    perhaps_in_gap();
    const bool known = look_for_cut();
    if (stop_applied_ && !known)
        return;
    for (std::uint64_t frame = low_; frame < last_; frame++) {
        const Cell* old = cell(frame);
        if (old == nullptr || old->count == 0)
            continue;
        if (!stop_applied_) {
            cells_[frame & (cells_.size() - 1)].before = old->count;
            add(frame, {});
        }
        const Cell was = *old;
        for (unsigned n = 0; known && frame >= cut_ && frame < cut_end_ && n < was.count; n++)
            if (was.sounds[n].version != 0 && was.sounds[n].fade == 0)
                add(frame, fading(was.sounds[n]));
    }
    stop_applied_ = true;
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
    case Ask::start:
    case Ask::drain:
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

void Score::end_write(std::uint64_t frames, bool running, bool found)
{
    const bool was_running = running_;
    if (!was_running && running) {
        end_ = end_low_ = write_at_ + frames;
        cut_runs(end_);
        appl_ = write_at_ + frames;
        return end_start();
    }
    ask_ = Ask::none;
    if (!found)
        not_stopped();
    appl_ = write_at_ + frames;
    if (!was_running) {
        if (frames == 0) { // nothing was taken: nothing was changed
            runs_ = runs_before_;
            end_ = end_low_ = old_end_;
            return;
        }
        if (write_at_ < floor_) // it was paused after it had run dry
            late_possible = late_certain = true;
        end_ = end_low_ = appl_;
        return cut_runs(end_);
    }
    const std::uint64_t high = ear_.high();
    const std::uint64_t from = origin_ + write_at_, to = from + frames;
    if (frames > 0 || old_end_ > write_at_) {
        late_possible |= from < high && frames > 0;
        late_certain |= from < low_ && frames > 0;
    }
    if (frames == 0)
        return; // nothing was taken: nothing was changed
    for (std::uint64_t frame = std::max(from, low_); frame < std::max(to, origin_ + old_end_); frame++) {
        const Sound sound = frame < to ? Sound{frame - origin_, write_version_, 0} : Sound{};
        if (frame < high)
            add(frame, sound);
        else
            set(frame, sound);
    }
    const std::uint64_t stored = std::max(from, low_);
    if (stored < to)
        put_run(stored - origin_, to - origin_, write_version_);
    // What came too late to be taken back is still its end.
    end_ = std::max(to, std::min(origin_ + old_end_, std::max(from, high))) - origin_;
    end_low_ = std::max(to, std::min(origin_ + end_low_, std::max(from, low_))) - origin_;
    cut_runs(std::max(end_, high - std::min(high, origin_)));
}

void Score::end_start()
{
    const std::uint64_t high = ear_.high();
    const bool stood = world->now() != began_ns_;
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
        late_possible |= first < high;
        late_certain |= (origin_ + write_at_ < low_ || write_at_ < floor_) && write_frames_ > 0;
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

bool Score::over() const noexcept
{
    return !running_ && ask_ == Ask::none && (!dead_ || buried_) && last_ <= ear_.heard_to();
}

std::int64_t Score::room_low() const noexcept
{
    return static_cast<std::int64_t>(buffer_ + std::max(ear_.low(), origin_ + floor_) - origin_) -
           static_cast<std::int64_t>(appl_);
}

std::int64_t Score::room_high() const noexcept
{
    return static_cast<std::int64_t>(buffer_ + std::max(ear_.high(), origin_ + floor_) - origin_) -
           static_cast<std::int64_t>(appl_);
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
    asked_.push_back({gain, ear_.low(), world->now()});
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
        if (!asked_.empty() && !dead_ && world->now() > asked_.front().time + soon && !ear_.engine_late() &&
            asked_.back().gain != target_)
            fail("{}: a gain of {} was asked for and is not made", name_, asked_.front().gain);
        return;
    }
    gain_word_ = gain.word;
    world->note("the server changes a gain to, until, slot", gain.target, gain.end, slot_);
    if (gain.target == target_) // from what it was, or is to be, to the same
        return forget_asked(gain.target);
    const auto made = std::find_if(asked_.begin(), asked_.end(), [&](const Asked& a) { return a.gain == gain.target; });
    if (made == asked_.end())
        fail("{}: gain becomes {}, and nobody has asked for that", name_, gain.target);
    const std::uint32_t length = ear_.truth().fade;
    const std::uint64_t start = gain.end - length;
    if (!gain.flat) {
        if ((start < made->low || start > ear_.high()) && ear_.quiet_time() && !ear_.engine_late())
            fail("{}: gain changes from frame {} on, not between {} and {}", name_, start, made->low, ear_.high());
        const auto from = static_cast<std::uint32_t>(gain_at(start));
        std::erase_if(ramps_, [&](const Ramp& ramp) { return ramp.start + ramp.length + ear_.truth().rate < start; });
        ramps_.push_back({start, length, from, gain.target});
    } else {
        fail("{}: gain becomes {} at once", name_, gain.target);
    }
    target_ = gain.target;
    forget_asked(gain.target);
}

// Several that ask for the same may be answered by one change.
void Score::forget_asked(std::uint32_t gain)
{
    auto made = std::find_if(asked_.begin(), asked_.end(), [gain](const Asked& a) { return a.gain == gain; });
    while (made != asked_.end() && made->gain == gain)
        ++made;
    if (made != asked_.begin() && std::prev(made)->gain == gain)
        asked_.erase(asked_.begin(), made);
}

} // namespace ringmix::sim
