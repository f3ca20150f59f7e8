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
    : ear_(its_ear), name_(std::move(name)), voice_(voice), slot_(slot), cells_(its_ear.some_cells(least_cells)), target_(gain)
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

Cell& Score::fresh_cell(std::uint64_t frame)
{
    Cell& cell = cells_[frame & (cells_.size() - 1)];
    if (cell.frame != frame || frame >= last_) {
        cell.frame = frame;
        cell.count = 0;
        cell.anything = false;
    }
    while (last_ <= frame) { // what lies between holds nothing
        if (last_ + cells_.size() <= frame)
            last_ = frame;
        if (last_ != frame) {
            Cell& between = cells_[last_ & (cells_.size() - 1)];
            between.frame = last_;
            between.count = 0;
            between.anything = false;
        }
        last_++;
    }
    return cell;
}

// This and nothing else.
void Score::set(std::uint64_t frame, const Sound& sound)
{
    if (sound.version == 0 && frame >= last_)
        return;
    Cell& cell = fresh_cell(frame);
    cell.count = sound.version == 0 ? 0 : 1;
    cell.sounds[0] = sound;
    cell.anything = false;
}

// This, or what there was.
void Score::add(std::uint64_t frame, const Sound& sound)
{
    if (sound.version == 0 && frame >= last_)
        return;
    Cell& cell = fresh_cell(frame);
    if (cell.count == 0) {
        if (sound.version == 0)
            return;
        cell.sounds[cell.count++] = Sound{};
    }
    if (cell.count == 1 && cell.sounds[0] == sound)
        return;
    for (unsigned i = 1; i < cell.count; i++)
        if (cell.sounds[i] == sound || cell.sounds[0] == sound)
            return;
    if (cell.count == Cell::most)
        cell.anything = true;
    else
        cell.sounds[cell.count++] = sound;
}

Sound Score::sound_at(std::uint64_t position) const
{
    for (const Run& run : runs_)
        if (position >= run.begin && position < run.end)
            return {position, run.version, 0};
    return {};
}

// The same, in the fade of this stop.
Sound Score::fading(const Sound& sound)
{
    if (fades_.empty() || fades_.back().start != cut_ || fades_.back().length != cut_end_ - cut_)
        fades_.push_back({cut_, cut_end_ - cut_, static_cast<std::uint32_t>(gain_at(cut_))});
    return {sound.position, sound.version, static_cast<std::uint32_t>(fades_.size())};
}

void Score::put_run(std::uint64_t begin, std::uint64_t end, std::uint32_t version)
{
    std::vector<Run> kept;
    for (const Run& run : runs_) {
        if (run.begin < begin)
            kept.push_back({run.begin, std::min(run.end, begin), run.version});
        if (run.end > end)
            kept.push_back({std::max(run.begin, end), run.end, run.version});
    }
    if (begin < end)
        kept.push_back({begin, end, version});
    runs_ = std::move(kept);
}

void Score::cut_runs(std::uint64_t end)
{
    for (Run& run : runs_)
        run.end = std::min(run.end, end);
    // Long past: never looked at again.
    const std::uint64_t old = appl_ > 4 * buffer_ + 65536 ? appl_ - 4 * buffer_ - 65536 : 0;
    std::erase_if(runs_, [old](const Run& run) { return run.begin >= run.end || run.end < old; });
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
    for (std::uint64_t frame = std::max(first, origin_ + write_at_ + write_frames_); frame < origin_ + old_end_; frame++)
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

// Whether it begins where it may.
void Score::check_start(std::uint64_t first, bool stood) const
{
    const std::uint64_t high = ear_.high();
    const Ear::Truth& truth = ear_.truth();
    const std::uint64_t slack = std::clamp<std::uint64_t>(buffer_ / 16, truth.rate / 2000, truth.rate / 50);
    if (!ear_.quiet_time() || ear_.engine_late())
        return; // positions are what they are
    if (first < low_ + (stood ? 0 : slack))
        fail("{}: begins at frame {}, before {} + {}", name_, first, low_, slack);
    else if (first > std::max(high + slack * (stood ? 16 : 1), tail_until_ + truth.margin) + 2)
        fail("{}: begins at frame {}, long after {} + {} (tail until {})", name_, first, high, slack, tail_until_);
}

// As the tail says where it was cut, in a place where it may be.
void Score::settle_stop(bool certain)
{
    const std::uint64_t first = origin_ + floor_, end = origin_ + old_end_;
    const std::uint64_t high = ear_.high(), end_low = std::min(end, origin_ + end_low_);
    if (!look_for_cut()) {
        if (std::max(first, low_) < end_low && first < low_ && ear_.quiet_time() && certain)
            fail("{}: was stopped at {} to {}, has begun at {}, and has no tail", name_, low_, high, first);
        cut_ = cut_end_ = first; // nothing of it was to be heard
        if (end <= low_)
            return;
    } else if (ear_.quiet_time()) {
        const std::uint64_t at_least = std::min(end_low, std::max(first, low_));
        const std::uint64_t at_most = std::min(end, std::max(first, high));
        if (cut_ < at_least || cut_ > at_most)
            fail("{}: was cut at {}, not between {} and {} (stream {} to {}, tail {:x}, before {:x})", name_, cut_,
                 at_least, at_most, first, end, peek::tail(slot_, 0).word, tail_.word);
    }
    if (certain)
        for (std::uint64_t frame = low_; stop_applied_ && frame < std::min(cut_, last_); frame++)
            if (Cell& kept = cells_[frame & (cells_.size() - 1)]; kept.frame == frame && kept.count > kept.before)
                kept.count = kept.before; // as it was
    if (cut_known_)
        tail_until_ = std::max(tail_until_, cut_end_);
    for (std::uint64_t frame = std::max(cut_, low_); frame < last_; frame++) {
        const Cell* old = cell(frame);
        if (old == nullptr || old->count == 0)
            continue;
        Cell was = *old;
        const bool sure = certain || frame >= high;
        if (sure)
            set(frame, {});
        else
            add(frame, {});
        const bool fades = frame < cut_end_;
        for (unsigned i = 0; i < was.count && fades; i++) {
            Sound& sound = was.sounds[i];
            if (sound.version == 0 || (sound.fade != 0 && fade(sound.fade).start != cut_))
                continue;
            sound = fading(sound);
            if (sure && was.count == 1)
                set(frame, sound);
            else
                add(frame, sound);
        }
    }
}

void Score::end_stop(bool faded)
{
    const bool was_running = running_;
    ask_ = Ask::none;
    running_ = false;
    unplaced_ = std::exchange(floating_, false);
    if (!was_running || unplaced_)
        return;
    settle_stop(true);
    const std::uint64_t most = ear_.truth().fade;
    const auto expected = [&](std::uint64_t end) {
        return faded ? std::min(most, std::max(origin_ + end, cut_) - cut_) : 0;
    };
    if (const std::uint64_t fade = cut_end_ - cut_; cut_known_ && (fade < expected(end_low_) || fade > expected(old_end_)))
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
    for (std::uint64_t frame = low_; stop_applied_ && frame < last_; frame++)
        if (Cell& kept = cells_[frame & (cells_.size() - 1)]; kept.frame == frame && kept.count > kept.before)
            kept.count = kept.before;
    stop_applied_ = false;
}

void Score::end_xrun()
{
    if (!xrun_possible() && ear_.quiet_time())
        fail("{}: an underrun is reported, with room for {} to {} of {} frames", name_, room_low(), room_high(),
             stop_threshold_);
    ear_.counts.xruns++;
    old_end_ = std::max(old_end_, end_);
    end_stop(false);
    late_possible = late_certain = false;
}

// What the program was told: where it goes on.
void Score::paused_at(std::int64_t position)
{
    if (unplaced_) {
        floor_ = static_cast<std::uint64_t>(position);
        return;
    }
    const auto stands = origin_ + static_cast<std::uint64_t>(position);
    const std::uint64_t first = origin_ + floor_;
    if (ear_.quiet_time() && (stands < std::max(first, low_) || stands > std::max(first, ear_.high())))
        fail("{}: paused at frame {}, not between {} and {}", name_, stands, low_, ear_.high());
    if (cut_known_ && cut_ < origin_ + std::min(old_end_, end_low_) && stands != cut_)
        fail("{}: was cut at frame {}, and says {}", name_, cut_, stands);
    floor_ = static_cast<std::uint64_t>(position);
}

void Score::drained()
{
    ask_ = Ask::none;
    running_ = floating_ = false;
    tail_until_ = std::max(tail_until_, origin_ + end_);
    ear_.counts.drains++;
}

// The stream ends at `position`: later frames are taken back.
void Score::limit(std::uint64_t position)
{
    if (position >= end_)
        return;
    for (std::uint64_t frame = std::max(low_, origin_ + position); running_ && frame < origin_ + end_; frame++) {
        if (frame < ear_.high())
            add(frame, {});
        else
            set(frame, {});
    }
    end_ = end_low_ = position;
    cut_runs(end_);
}

void Score::die()
{
    dead_ = true;
    died_ns_ = world->now();
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
                for (std::uint64_t frame = low_; frame < last_; frame++)
                    if (cell(frame) != nullptr)
                        add(frame, {});
            }
        }
        running_ = false;
        silent_ = true;
        ask_ = Ask::none;
        return;
    }
    if (world->now() > died_ns_ + soon && range && !ear_.engine_late())
        fail("{}: dead, and the server has not noticed", name_);
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
    return running_ && stops_ && !floating_ && (late_certain || room_low() >= static_cast<std::int64_t>(stop_threshold_));
}

bool Score::xrun_possible() const noexcept
{
    return running_ && stops_ && (floating_ || late_possible || room_high() >= static_cast<std::int64_t>(stop_threshold_));
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
