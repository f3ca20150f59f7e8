// SPDX-License-Identifier: LGPL-2.1-or-later
//
// ear.h: hears what the device plays, and compares each frame with what all programs have asked for.

#pragma once

#include "tests/sim/card.h"
#include "tests/sim/score.h"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ringmix::sim {

// What may differ, and why; how often it did.
struct Counts {
    std::uint64_t frames = 0;       // heard
    std::uint64_t sounding = 0;     // of those, with something in them
    std::uint64_t either = 0;       // as before or as after a call that stood
    std::uint64_t gap = 0;          // may be missing: its stream was just becoming a tail
    std::uint64_t in_flight = 0;    // spoilt: in the batch of a poster that stood or was dead
    std::uint64_t unreached = 0;    // wrong: the engine had not come to mix there
    std::uint64_t engine_stood = 0; // wrong: the engine stood in the middle of a cycle
    std::uint64_t restart = 0;      // wrong: the device had just been restarted, or leapt
    std::uint64_t calls = 0, wakes = 0, idle_wakes = 0, xruns = 0, deaths = 0, stops = 0, drains = 0, streams = 0;
    std::uint64_t gains = 0;
    void add(const Counts& other);
    std::string text() const;
};

class Ear {
public:
    struct Truth {
        std::uint32_t rate, ring, margin, reach, latency;
        bool is_virtual;
        bool tended;         // the programs live, whatever becomes of the server: nothing may be missing
        std::uint32_t cycle; // of the engine, frames
        Sink sink;
        std::uint32_t fade; // frames
        std::uint32_t lag;  // the position that programs know is behind the true one by this at most,
        std::uint32_t lead; // and ahead of it
        std::uint32_t fifo; // frames that the device has read ahead
    };
    explicit Ear(const Truth& truth)
        : truth_(truth), frame_bytes_(truth.sink.channels * bytes_of_sample(truth.sink.format)),
          changed_ns_(truth.ring, 0)
    {
    }
    const Truth& truth() const noexcept { return truth_; }

    // The frame that truly plays now, and where the commit horizon may be.
    std::uint64_t now() const noexcept;
    std::uint64_t now_before() const noexcept { return now_before_; } // when time passed last
    std::uint64_t low() const noexcept;
    std::uint64_t high() const noexcept;
    std::uint64_t heard_to() const noexcept { return heard_to_; } // everything before it has been heard
    std::int64_t ns_of(std::uint64_t frames) const noexcept
    {
        return static_cast<std::int64_t>(frames * std::uint64_t{second} / truth_.rate);
    }
    std::uint64_t frames_of(std::int64_t ns) const noexcept
    {
        return static_cast<std::uint64_t>(ns) * truth_.rate / std::uint64_t{second};
    }
    // The same of when the engine's present cycle began, or the last one: what it does may have been decided then.
    std::uint64_t cycle_low() const noexcept { return cycle_low_; }
    // So long may somebody stand in the middle of something without spoiling anything.
    std::int64_t grace_ns() const noexcept;
    // So long may it take without the engine until others repair: clients notice after two cycles and a look, and then
    // look twice.
    std::int64_t repaired_ns() const noexcept { return ns_of(7 * truth_.cycle) + 2 * ms; }
    // Cycles of the engine until it has done what it is asked for, however slow they are.
    static constexpr std::uint64_t prompt = 3;

    Score& add_score(const std::string& name, const Voice& voice, std::uint32_t slot, std::uint32_t gain);
    Score* score_in_slot(std::uint32_t slot) noexcept;

    // Memory for scores, used again.
    CellRing some_cells(std::size_t count);
    void spare_cells(CellRing cells) { spare_.push_back(std::move(cells)); }

    void time_passes();
    void somebody_runs(); // at the same time as somebody else
    void heard(std::uint64_t frame, const std::byte* bytes);
    void heard_next(const std::byte* bytes) { heard(next_++, bytes); }
    void heard_silence(std::uint64_t count);
    void heard_of_card(std::uint64_t epoch, std::uint64_t frame, const std::byte* bytes);
    void disturbed(std::int64_t ns); // the device was: for so long positions may be wrong
    bool stands() const noexcept { return card && card->state() != Card::State::running; }
    // After a restart nobody knows the device's position before the engine has looked, which sleeps if nobody plays.
    bool quiet_time() const noexcept
    {
        return world->now() >= disturbed_until_ && !stands() && (!card || card->epoch() == known_epoch_);
    }
    bool quiet_since(std::int64_t time) const noexcept { return time >= disturbed_until_ && quiet_time(); }
    std::int64_t disturbed_until() const noexcept { return disturbed_until_; }
    bool stands_for_long() const noexcept { return world->now() >= disturbed_until_ && stands() && !engine_late(); }

    // Posters (core/test_hooks.h).
    void batch(std::uint32_t point, std::uint64_t from, std::uint32_t frames);
    void round_begins(); // it goes on behind test_posting or test_stored
    // What is to be heard of somebody in this frame has changed; the same of all frames, perhaps.
    void changed(std::uint64_t frame) { changed_ns_[frame % truth_.ring] = world->now(); }
    void all_changed() { all_changed_ns_ = world->now(); }
    // A program that plays has written, in a call that began then: it has looked what others post, if it had not for
    // 5 ms.
    void wrote(const Score* who, std::int64_t began);
    bool engine_stalled() const noexcept;
    bool engine_late() const noexcept; // its last cycle is long ago
    const Fibre* engine() const noexcept { return engine_; }

    Counts counts;

private:
    struct Batch {
        std::uint64_t from = 0;
        std::uint32_t frames = 0;
        std::int64_t since = 0;
        bool open = false;
        // Which frames are summed was decided then or later: of what is stored, of what is just summed, of what comes.
        std::int64_t summed_ns = 0, summing_ns = never, round_ns = 0;
        // Other programs have looked at its word, since it stands where it does: when each has first. Frames before
        // `repaired` could still be heard as they were when one has looked again.
        std::int64_t stood_ns = -1;
        std::map<const Score*, std::int64_t> looks;
        std::uint64_t repaired = ~std::uint64_t{0};
    };
    struct Look {
        std::uint64_t number;
        std::uint64_t frame; // what is heard from there on, is as the engine has found it
    };
    struct Covered {
        std::int64_t time;
        std::uint64_t frame;
    };
    struct Part {
        const Score* score;
        const Cell* cell;
        const Sound& sound(std::uint64_t number) const noexcept
        {
            return score->sound(*cell, static_cast<unsigned>(number));
        }
    };

    void find_engine();
    void follow_device();
    bool matches(std::uint64_t frame, const std::byte* bytes, std::vector<Part>& parts);
    void add_sound(const Score& score, std::uint64_t frame, const Sound& sound, Wide* sums) const;
    bool agrees(std::uint64_t frame, const std::byte* bytes, const Wide* sums) const;
    bool excused(std::uint64_t frame, const std::vector<Part>& parts);
    bool in_flight(std::uint64_t frame, const std::vector<Part>& parts, bool ending) const;
    std::string likeness(std::uint64_t frame, const std::byte* bytes, const Score& score, const Sound& sound,
                         const Wide* others) const;
    [[noreturn]] void report(std::uint64_t frame, const std::byte* bytes, const std::vector<Part>& parts);

    Truth truth_;
    std::size_t frame_bytes_;
    std::vector<std::unique_ptr<Score>> scores_;
    std::vector<CellRing> spare_;
    std::vector<Score*> open_;               // those of which something may still be heard
    std::map<std::uint32_t, Batch> batches_; // by fibre
    std::vector<std::int64_t> changed_ns_;   // by place
    std::int64_t all_changed_ns_ = 0;
    std::vector<Look> looks_; // the engine's
    std::deque<Covered> covered_;
    std::uint64_t sure_ = 0; // frames before it have been in the engine's reach for long enough
    const Fibre* engine_ = nullptr;
    std::uint64_t engine_waits_ = 0;
    std::int64_t engine_idle_ns_ = 0;
    std::int64_t engine_stood_ns_ = -second;   // when it was seen to stand in a cycle
    std::int64_t engine_trouble_ns_ = -second; // when it was seen to stand for long
    std::uint64_t next_ = 0;                   // virtual: the next frame
    std::uint64_t now_before_ = 0;
    std::uint64_t cycle_low_ = 0;
    std::uint64_t heard_to_ = 0;
    std::int64_t disturbed_until_ = 0;
    std::uint64_t known_epoch_ = 0;
    std::uint64_t known_generation_ = 0; // of that
    std::uint64_t base_ = 0;             // of the card's epoch
    mutable std::uint64_t last_now_ = 0;
    std::int64_t start_ns_ = -1; // virtual: when frame 0 was played
    std::uint64_t last_switch_ = ~std::uint64_t{0};
};

extern Ear* ear;

// What the virtual device plays.
void hear_next(const std::byte* bytes);
void hear_silence(std::uint64_t count);

} // namespace ringmix::sim
