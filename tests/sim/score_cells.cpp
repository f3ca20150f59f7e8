// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a score writes down: which of its writings is heard in which frame.

#include "tests/sim/score.h"

#include "tests/sim/ear.h"

#include <algorithm>
#include <bit>

namespace ringmix::sim {

void Score::configure(const Voice& voice, std::uint32_t rate, std::uint64_t buffer_frames, std::uint64_t stop_threshold,
                      bool stops)
{
    voice_ = voice;
    buffer_ = stream_buffer_ = buffer_frames;
    stop_threshold_ = stop_threshold;
    stops_ = stops;
    converted_.reset();
    step_ = phases_ = 1;
    ring_out_ = 0;
    if (rate != ear_.truth().rate) {
        converted_ = std::make_unique<Converted>(voice, rate, ear_.truth().rate);
        step_ = converted_->map().ratio().step;
        phases_ = converted_->map().ratio().phases;
        const std::uint64_t taps = converted_->map().taps();
        stream_buffer_ = (buffer_frames + taps) * phases_ / step_ + 1;
        ring_out_ = taps * phases_ / step_ + 1;
    }
    // From what is still to be heard to the end of a stream that begins late.
    const std::size_t wanted = std::bit_ceil(stream_buffer_ + ear_.truth().rate / 2 + 4096);
    if (wanted <= cells_.size())
        return;
    CellRing larger = ear_.some_cells(wanted);
    first_ = from_cells(0);
    for (std::uint64_t frame = first_; frame < last_; frame++) { // what is still to be heard goes along
        const Cell& cell = cells_[frame];
        larger.empty(larger[frame]);
        for (unsigned i = 0; i < cell.count; i++)
            larger.add(larger[frame], cells_.sound(cell, i));
        larger[frame].before = cell.before;
        larger[frame].anything = cell.anything;
    }
    std::swap(cells_, larger);
    ear_.spare_cells(std::move(larger));
}

std::int64_t Score::changeable(std::uint64_t frame) const noexcept
{
    const std::uint64_t horizon = std::max(frame, origin_ + floor_) - origin_;
    if (!converts())
        return static_cast<std::int64_t>(horizon);
    return std::max<std::int64_t>(converted_->map().first_changeable({static_cast<std::int64_t>(horizon)}).number, 0);
}

std::uint64_t Score::rung_out(std::uint64_t position) const noexcept
{
    if (!converts())
        return position;
    const core::StreamFrame end = converted_->map().end_without({static_cast<std::int64_t>(position)});
    return static_cast<std::uint64_t>(std::max<std::int64_t>(end.number, 0));
}

// The first stream frame that has the program's frame `position` in it.
std::uint64_t Score::first_with(std::uint64_t position) const noexcept
{
    if (!converts())
        return position;
    const core::StreamFrame first = converted_->map().first_with({static_cast<std::int64_t>(position)});
    return static_cast<std::uint64_t>(std::max<std::int64_t>(first.number, 0));
}

Cell& Score::fresh_cell(std::uint64_t frame)
{
    static Cell long_past;
    if (frame + cells_.size() < last_)
        return long_past = {};
    if (last_ + cells_.size() <= frame || first_ == last_)
        first_ = last_ = frame;
    for (; last_ <= frame; last_++) // what lies between holds nothing
        cells_.empty(cells_[last_]);
    while (first_ > frame)
        cells_.empty(cells_[--first_]);
    return cells_[frame];
}

// This and nothing else.
void Score::set(std::uint64_t frame, const Sound& sound)
{
    if (sound.version == 0 && frame >= last_)
        return;
    ear_.changed(frame);
    Cell& cell = fresh_cell(frame);
    cells_.empty(cell);
    if (sound.version != 0)
        cells_.add(cell, sound);
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
        cells_.add(cell, {});
    }
    for (unsigned i = 0; i < cell.count; i++)
        if (cells_.sound(cell, i) == sound)
            return;
    ear_.changed(frame);
    cells_.add(cell, sound);
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
    const std::uint64_t old = end_ > 4 * stream_buffer_ + 65536 ? end_ - 4 * stream_buffer_ - 65536 : 0;
    std::erase_if(runs_, [old](const Run& run) { return run.begin >= run.end || run.end < old; });
}

std::string Score::writings() const
{
    std::string text;
    for (std::size_t i = runs_.size() - std::min<std::size_t>(runs_.size(), 8); i < runs_.size(); i++)
        text += fmt::format(" {}..{}: {};", runs_[i].begin, runs_[i].end, runs_[i].version);
    return text;
}

} // namespace ringmix::sim
