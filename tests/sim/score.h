// SPDX-License-Identifier: LGPL-2.1-or-later
//
// score.h: what one program has asked to be heard, frame by frame: the judge's own idea of a stream, made of
// the program's calls and docs/mixing.md. Where a call stands for so long that its frames come up meanwhile,
// a frame may be as before or as after: both are written down.

#pragma once

#include "tests/sim/cells.h"
#include "tests/sim/converted.h"
#include "tests/sim/peek.h"
#include "tests/sim/reference.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ringmix::sim {

class Ear;

struct Fade {
    std::uint64_t start, length;
    std::uint32_t gain;
};

enum class Ask { none, write, start, pause, drop, drain, close, look };

class Score {
public:
    Score(Ear& its_ear, std::string name, const Voice& voice, std::uint32_t slot, std::uint32_t gain);

    const std::string& name() const noexcept { return name_; }
    const Voice& voice() const noexcept { return voice_; }
    std::uint32_t slot() const noexcept { return slot_; }
    // Entry d: the channel of this program that device channel d plays, or abi::no_channel.
    std::array<std::uint8_t, abi::max_channels> map{};
    // `rate` is the program's, and so are frames here. Positions, and what is told of room, are the program's, all
    // else is counted at the device's rate: frames of the device, and frames of the stream that begins at origin().
    void configure(const Voice& voice, std::uint32_t rate, std::uint64_t buffer_frames, std::uint64_t stop_threshold,
                   bool stops);
    bool converts() const noexcept { return converted_ != nullptr; }
    const Converted* converted() const noexcept { return converted_.get(); }
    // The first position that can still be changed, if the commit horizon is at `frame`.
    std::int64_t changeable(std::uint64_t frame) const noexcept;
    // The stream frame at which a sound that ends there has rung out.
    std::uint64_t rung_out(std::uint64_t position) const noexcept;
    // The position that is heard when stream frame `frame` is.
    std::int64_t moment(std::int64_t frame) const noexcept
    {
        return converts() ? converted_->map().moment({frame}).frame.number : frame;
    }
    // The program's frames in so many of the device's.
    std::int64_t frames_in(std::uint64_t device_frames) const noexcept
    {
        return static_cast<std::int64_t>(device_frames * step_ / phases_);
    }
    std::uint32_t next_version() noexcept { return ++versions_; }

    // The program's calls: begin, then (if it lives) what has come of it. One at a time.
    void prepare();
    void begin_write(std::uint64_t position, std::uint64_t frames, std::uint32_t version, bool may_start);
    // `found`: an underrun has ended it; end_xrun() follows
    void end_write(std::uint64_t frames, bool running, bool found);
    void begin(Ask ask);
    void begin_start(Ask ask); // of one that may not run: its sound ends where the program stands
    void end_start();          // start, resume; drain of one that was only prepared
    void end_stop(bool faded); // pause, drop, close
    void end_xrun();           // in any call
    void paused_at(std::int64_t position);
    // Whether it is known where it goes on.
    bool knows_place() const noexcept { return !placeless_; }
    void drained();                                             // all has been heard
    void end_nothing();                                         // it has changed nothing
    void moved_to(std::uint64_t position) { appl_ = position; } // rewind, forward
    void limit(std::uint64_t position);                         // drain: it ends there
    void die();
    void gone() { silent_ = true; } // with its connection: the slot may be another's

    // Time passes: what is seen of a call that stands.
    void passes();
    bool perhaps_ending() const noexcept { return (running_ && stop_applied_) || (dead_ && !buried_); }
    bool busy() const noexcept { return ask_ != Ask::none; }
    std::uint64_t call_low() const noexcept { return low_; }

    bool running() const noexcept { return running_; }
    bool floating() const noexcept { return floating_; }
    std::uint64_t appl() const noexcept { return appl_; }
    std::uint64_t written() const noexcept { return written_; } // the sound ends there
    std::uint64_t origin() const noexcept { return origin_; }
    std::uint64_t floor() const noexcept { return floor_; }
    std::uint64_t buffer() const noexcept { return buffer_; }
    std::uint64_t end_position() const noexcept { return end_; }
    bool dead() const noexcept { return dead_; }
    // It has done something while its idea of the time was wrong; until it begins anew.
    bool unsure() const noexcept { return unsure_; }
    bool over() const noexcept; // nothing of it will be heard any more

    // The underrun: how many frames of room there are, at least and at most, at present.
    std::int64_t room_low() const noexcept;
    std::int64_t room_high() const noexcept;
    bool xrun_due() const noexcept; // certainly
    bool xrun_possible() const noexcept;
    bool late_possible = false; // a write may have been too late
    bool late_certain = false;

    // What it may add to a frame: the newest possibility last. Null: nothing was ever written down.
    const Cell* cell(std::uint64_t frame) const noexcept
    {
        return frame >= from_cells(0) && frame < last_ ? &cells_[frame] : nullptr;
    }
    const Sound& sound(const Cell& cell, unsigned number) const noexcept { return cells_.sound(cell, number); }
    std::uint64_t last() const noexcept { return last_; }
    std::string writings() const; // the newest
    const Fade& fade(std::uint32_t number) const { return fades_[number - 1]; }
    CellRing give_cells_back() { return std::move(cells_); } // when it is over
    std::uint64_t gain_at(std::uint64_t frame) const noexcept;

    // Gains: asked for between the mixer's call and its return.
    void ask_gain(std::uint32_t gain);
    void withdraw_gain(std::uint32_t gain); // it was not for this one
    std::uint32_t level = 0;                // as asked for, also while muted
    bool muted = false;
    bool open() const noexcept { return !silent_ && !dead_; }
    void watch_gain();
    // The server has just changed the gain from `frame` or earlier on, and has perhaps not come to post that.
    bool gain_unsure(std::uint64_t frame) const noexcept;

private:
    struct Run {
        std::uint64_t begin, end;
        std::uint32_t version;
    };
    struct Ramp {
        std::uint64_t start, length;
        std::uint32_t from, to;
    };
    struct Asked {
        std::uint32_t gain;
        std::uint64_t low;
        std::int64_t time;
        std::uint64_t looks; // of the engine, before
    };

    std::uint64_t from_cells(std::uint64_t frame) const noexcept // there are none before
    {
        return std::max({frame, first_, last_ - std::min<std::uint64_t>(last_, cells_.size())});
    }
    Cell& fresh_cell(std::uint64_t frame);
    void set(std::uint64_t frame, const Sound& sound);
    void add(std::uint64_t frame, const Sound& sound);
    Sound sound_at(std::uint64_t position) const;
    Sound fading(const Sound& sound);
    void put_run(std::uint64_t begin, std::uint64_t end, std::uint32_t version);
    void cut_runs(std::uint64_t end);
    void perhaps_written();
    void place(std::uint64_t first);
    void check_start(std::uint64_t first, bool stood) const;
    bool look_for_start();
    bool look_for_cut();
    void perhaps_stopped();
    void perhaps_limited();
    void settle_stop(bool certain);
    void not_stopped();
    void perhaps_in_gap();
    void bury();
    std::uint64_t first_with(std::uint64_t position) const noexcept;
    void settle_late(std::uint64_t frames, std::uint64_t late);
    std::uint64_t all_late(std::uint64_t old_written);
    void end_write_of_nothing(std::uint64_t position, std::uint64_t late, bool was_running, bool found);
    void sound_ends(std::uint64_t position);
    void ring_out();
    void perhaps_seam();
    void no_seam();
    void forget_asked(std::uint32_t gain);

    Ear& ear_;
    std::string name_;
    Voice voice_;
    std::uint32_t slot_;
    std::unique_ptr<Converted> converted_;
    std::uint64_t step_ = 1, phases_ = 1;         // the program's rate / the device's
    std::uint32_t versions_ = 1;                  // 1: none
    std::uint64_t written_ = 0, written_low_ = 0; // at most, at least
    std::uint64_t late_frames_ = 0;               // the client's count, when the call began
    bool placeless_ = false, rings_ = false;
    std::uint64_t buffer_ = 0, stop_threshold_ = 0;
    std::uint64_t stream_buffer_ = 0, ring_out_ = 0; // stream frames; so long does a sound that ends ring out
    bool stops_ = true;                              // at an underrun

    CellRing cells_;
    std::vector<Fade> fades_;
    std::uint64_t first_ = 0, last_ = 0; // no cell before or from there on has anything
    std::vector<Run> runs_, runs_before_;
    std::uint64_t appl_ = 0, end_ = 0, floor_ = 0, origin_ = 0;
    std::uint64_t old_end_ = 0; // of the stream, before the call that stands
    std::uint64_t end_low_ = 0; // if what could still be taken back of it was
    bool running_ = false;
    bool floating_ = false; // runs, and has had nothing to play yet: nobody knows where it began
    bool unsure_ = false;
    bool unplaced_ = false; // the same of the run before
    bool dead_ = false, silent_ = false, buried_ = false;

    Ask ask_ = Ask::none;
    std::int64_t began_ns_ = 0, died_ns_ = 0;
    std::uint64_t died_looks_ = 0; // of the engine, before
    std::uint64_t low_ = 0;        // the earliest horizon of the call
    std::uint64_t told_at_ = 0;    // the position of a writing, and of what is made anew of it:
    std::uint64_t told_end_ = 0;   // (the writing's end, and the same of one that was found to be late: an underrun)
    std::uint64_t late_end_ = 0;
    bool doubtful_ = false; // nobody knows whether anything of such a writing was taken
    std::uint64_t write_at_ = 0, write_frames_ = 0;
    std::uint32_t write_version_ = 0;
    bool applied_ = false, stop_applied_ = false, cut_applied_ = false, started_ = false, may_start_ = false;
    std::uint64_t range_word_ = 0; // at the beginning of the call
    peek::Tail tail_;              // the same
    bool cut_known_ = false;
    std::uint64_t cut_ = 0, cut_end_ = 0;
    std::uint64_t gap_to_ = 0;     // marked as perhaps in the gap
    std::uint64_t tail_until_ = 0; // the stream before is heard until there

    std::uint32_t target_;
    std::vector<Ramp> ramps_;
    std::vector<Asked> asked_, perhaps_asked_;
    std::uint64_t gain_word_ = 0;
    std::int64_t newest_ramp_ns_ = 0;
};

} // namespace ringmix::sim
