// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Tracks at all rates on a fake seat at 48 kHz: what the test's device plays must be, to the bit, the conversion of
// the one sound that was asked for: whatever the portions, rewinds, forwards, pauses and gaps.

#include "client/track.h"
#include "fake_seat.h"
#include "tests/kernels/dice.h"
#include "tests/kernels/sums.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

using namespace ringmix;
using client::ChannelArea;
using client::Conversion;
using client::Track;
using test::Dice;
using test::FakeSeat;

namespace {

constexpr std::uint64_t buffer = 1024;
constexpr std::uint32_t rates[] = {44100, 48000, 96000, 8000, 22050, 192000, 44099};

// A player, and what it asked for.
class Player : public FakeSeat {
public:
    explicit Player(std::uint32_t rate, std::uint32_t format = abi::format_s16)
        : FakeSeat(test::small_device()), track(*this), rate_(rate), sound_(1 << 16)
    {
        core::ChannelMap map;
        map.fill(abi::no_channel);
        map[0] = 0;
        track.configure(format, 1, rate, buffer, map);
        prepare();
    }

    void prepare()
    {
        end_run();
        track.prepare();
        floor_ = 0;
        std::fill(sound_.begin(), sound_.end(), std::int16_t{0});
        written_ = 0;
    }
    std::uint64_t write(std::uint64_t position, std::uint64_t frames, Dice& dice)
    {
        std::vector<std::int16_t> samples(frames);
        for (std::int16_t& x : samples)
            x = static_cast<std::int16_t>(static_cast<std::int32_t>(dice.below(20001)) - 10000);
        const std::uint64_t changeable = can_be_changed();
        for (std::uint64_t p = std::max(position, changeable); p < std::max(written_, position + frames); p++)
            sound_[p] = p < position + frames ? samples[p - position] : std::int16_t{0};
        const std::uint64_t late = std::min(frames, changeable - std::min(position, changeable));
        const std::uint64_t kept = std::min(written_, std::max(changeable, position));
        written_ = std::max(kept, position + frames);
        const ChannelArea area{reinterpret_cast<const std::byte*>(samples.data()), 2};
        const std::uint64_t told = track.write(position, {&area, frames == 0 ? 0u : 1u}, frames);
        CHECK(told == late);
        CHECK(track.written() == written_);
        return told;
    }
    void start()
    {
        track.start();
        const std::uint64_t first = slot().tail.start.load();
        runs_.push_back({first, first - floor_, ~std::uint64_t{0}, {}});
    }
    void pause()
    {
        const std::uint64_t horizon = std::max(played + 64, runs_.back().first);
        track.pause();
        end_run(horizon);
        floor_ = horizon - runs_.back().origin;
    }
    // It ran dry: what has been said up to `position` rings out.
    void xrun()
    {
        for (std::uint64_t p = can_be_changed(); p < written_; p++)
            sound_[p] = 0;
        track.xrun();
        end_run();
    }
    void play(std::uint64_t frames)
    {
        for (const std::uint64_t end = played + frames; played < end;) {
            play_to(std::min(played + 48, end));
            track.tend();
        }
    }
    bool running() const { return !runs_.empty() && runs_.back().end == ~std::uint64_t{0}; }
    std::uint64_t written() const { return written_; }

    // By the definition: the first frame of the program that is in no stream frame before the horizon.
    std::uint64_t can_be_changed() const
    {
        std::int64_t stream = static_cast<std::int64_t>(floor_);
        if (running())
            stream = static_cast<std::int64_t>(std::max(played + 64, runs_.back().first) - runs_.back().origin);
        if (rate_ == geometry().rate)
            return static_cast<std::uint64_t>(stream);
        const core::FilterShape shape = core::filter_shape(rate_, geometry().rate);
        const std::int64_t lead = core::RateMap::lead(shape.ratio, shape.taps);
        const double moment = static_cast<double>(stream - 1 - lead) * rate_ / geometry().rate;
        const auto last = static_cast<std::int64_t>(std::floor(moment + 1e-9)) + shape.taps / 2;
        return static_cast<std::uint64_t>(std::max<std::int64_t>(last + 1, 0));
    }

    // What the device had to play so far.
    std::vector<std::int16_t> expected()
    {
        end_run(~std::uint64_t{0}, running());
        std::vector<std::int16_t> all(played);
        for (const Run& run : runs_)
            for (std::uint64_t f = run.first; f < std::min(run.end, played); f++)
                if (f - run.origin < run.stream.size())
                    all[f] = run.stream[f - run.origin];
        return all;
    }

    Track track;

private:
    struct Run {
        std::uint64_t first;  // absolute
        std::uint64_t origin; // of stream frame 0
        std::uint64_t end;
        std::vector<std::int16_t> stream; // all of the sound as it was at its end
    };
    void end_run(std::uint64_t end = ~std::uint64_t{0} - 1, bool stays = false)
    {
        if (!running())
            return;
        runs_.back().stream = converted();
        if (!stays)
            runs_.back().end = end;
    }
    std::vector<std::int16_t> converted() const
    {
        const std::vector<std::int16_t> sound(sound_.begin(), sound_.begin() + static_cast<std::ptrdiff_t>(written_));
        if (rate_ == geometry().rate)
            return sound;
        Conversion conversion(abi::format_s16, 1, rate_, geometry().rate, sound.size() + 1);
        conversion.clear();
        const std::vector<ChannelArea> area{{reinterpret_cast<const std::byte*>(sound.data()), 2}};
        conversion.silence(0, static_cast<std::int64_t>(sound.size() + 1));
        conversion.put(0, area, 0, sound.size());
        const auto end = static_cast<std::int64_t>(sound.size());
        conversion.silence(end, end + conversion.map().taps());
        const std::int64_t frames = conversion.map().end_without({end}).number;
        std::vector<std::int32_t> out(static_cast<std::size_t>(frames));
        conversion.begin_with({0});
        conversion.copy(reinterpret_cast<std::byte*>(out.data()), 0, out.size());
        std::vector<std::int16_t> samples;
        for (const std::int32_t x : out)
            samples.push_back(static_cast<std::int16_t>(test::device_sample(test::Exact{x} << 24, abi::format_s16)));
        return samples;
    }

    std::uint32_t rate_;
    std::vector<std::int16_t> sound_;
    std::uint64_t written_ = 0;
    std::uint64_t floor_ = 0; // of the stream
    std::vector<Run> runs_;
};

} // namespace

TEST_CASE("track: a program's sound is played as it was asked for, in any portions, rewound, forwarded, paused")
{
    for (const std::uint32_t rate : rates)
        for (std::uint64_t seed = 1; seed <= 12; seed++) {
            CAPTURE(rate);
            CAPTURE(seed);
            Dice dice(seed);
            Player player(rate);
            std::uint64_t appl = 0;
            for (int step = 0; step < 150 && appl < 60000; step++) {
                const std::uint64_t changeable = player.can_be_changed();
                const std::uint64_t room = changeable + buffer - std::min(appl, changeable + buffer);
                REQUIRE(static_cast<std::uint64_t>(player.track.horizon_position()) == changeable);
                switch (dice.below(8)) {
                case 0: // rewind
                    appl -= dice.below(std::max<std::uint64_t>(appl - std::min(appl, changeable), 1));
                    break;
                case 1: // forward
                    if (dice.once_in(4))
                        appl += std::min<std::uint64_t>(room, dice.below(100));
                    break;
                case 2:
                    if (player.running())
                        player.pause();
                    else
                        player.start();
                    break;
                case 3:
                    if (dice.once_in(4)) { // as it is at snd_pcm_start
                        player.write(appl, 0, dice);
                        break;
                    }
                    [[fallthrough]];
                case 4:
                case 5: {
                    const std::uint64_t frames =
                        std::min<std::uint64_t>(room, dice.between(1, dice.once_in(2) ? 5 : 600));
                    player.write(appl, frames, dice);
                    appl += frames;
                    break;
                }
                default:
                    player.play(dice.below(dice.once_in(10) ? 2000 : 300));
                }
            }
            player.play(3000);
            const std::vector<std::int16_t> expected = player.expected();
            REQUIRE(player.heard.size() == expected.size());
            for (std::size_t f = 0; f < expected.size(); f++) {
                CAPTURE(f);
                REQUIRE(player.heard[f] == expected[f]);
            }
        }
}

TEST_CASE("track: begins as much later as the filter is long, and what is heard is told so")
{
    for (const std::uint32_t rate : rates) {
        CAPTURE(rate);
        Dice dice(3);
        Player player(rate);
        player.write(0, 600, dice);
        CHECK(player.track.horizon_position() == 0);
        CHECK(player.track.heard_position() == 0);
        player.start();
        CHECK(player.track.horizon_position() == 0);
        const std::uint64_t first = player.slot().tail.start.load();
        const core::FilterShape shape = core::filter_shape(rate, 48000);
        const std::uint64_t lead =
            player.track.converted() ? static_cast<std::uint64_t>(core::RateMap::lead(shape.ratio, shape.taps)) : 0;
        CHECK(player.track.conversion_latency() == (player.track.converted() ? shape.taps / 2 : 0));
        player.play(first + lead);
        CHECK(player.track.heard_position() == 0);
        player.play(100);
        CHECK(player.track.heard_position() == 100 * static_cast<std::int64_t>(rate) / 48000);
    }
}

TEST_CASE("track: the time of a horizon is when it is there, not before")
{
    for (const std::uint32_t rate : rates) {
        Dice dice(4);
        Player player(rate);
        player.write(0, 1000, dice);
        player.start();
        player.play(400);
        for (std::uint64_t more = 1; more < 200; more += 7) {
            CAPTURE(rate);
            CAPTURE(more);
            const auto position = static_cast<std::uint64_t>(player.track.horizon_position()) + more;
            const std::int64_t time = player.track.time_of_horizon(position);
            std::uint64_t frame = player.played;
            while (player.timeline().time_of(frame) < time)
                frame++;
            player.play_to(frame - 1);
            CHECK(player.track.horizon_position() < static_cast<std::int64_t>(position));
            player.play_to(frame);
            CHECK(player.track.horizon_position() >= static_cast<std::int64_t>(position));
        }
    }
}

TEST_CASE("track: drained when all that the filter makes of the last frame has been heard")
{
    for (const std::uint32_t rate : rates) {
        CAPTURE(rate);
        Dice dice(5);
        Player player(rate);
        player.write(0, 500, dice);
        player.start();
        player.track.drain(500);
        const std::int64_t time = player.track.time_drained(500);
        std::uint64_t drained = 0;
        for (; !player.track.drained(500) && drained < 20000; drained++)
            player.play(1);
        CHECK(std::abs(player.timeline().time_of(player.played) - time) <= 1); // ns, as it is rounded
        const std::vector<std::int16_t> expected = player.expected();
        CHECK(player.heard == expected);
        player.track.drop();
        player.play(1000);
        for (std::size_t f = expected.size(); f < player.heard.size(); f++)
            REQUIRE(player.heard[f] == 0); // nothing was left
    }
}

TEST_CASE("track: one that runs dry rings out")
{
    for (const std::uint32_t rate : rates) {
        CAPTURE(rate);
        Dice dice(6);
        Player player(rate);
        player.write(0, 400, dice);
        player.start();
        while (player.can_be_changed() < 400)
            player.play(1);
        player.xrun();
        CHECK(player.slot().stream.underruns.load() == 1);
        player.play(3000);
        CHECK(player.heard == player.expected());
        // And begins again.
        player.prepare();
        player.write(0, 300, dice);
        player.start();
        player.play(3000);
        CHECK(player.heard == player.expected());
    }
}

TEST_CASE("track: an underrun with more queued plays what cannot be changed, and no more of it")
{
    for (const std::uint32_t rate : rates) {
        CAPTURE(rate);
        if (rate == 48000)
            continue; // is cut at the horizon, frames of the stream being those of the program
        Dice dice(7);
        Player player(rate);
        player.write(0, 1000, dice);
        player.start();
        player.play(300);
        player.xrun();
        player.play(3000);
        CHECK(player.heard == player.expected());
    }
}

TEST_CASE("track: an underrun before anything is heard leaves what is still heard of the sound before")
{
    for (const std::uint32_t rate : rates) {
        CAPTURE(rate);
        if (rate == 48000)
            continue; // is cut at the horizon, frames of the stream being those of the program
        Dice dice(8);
        Player player(rate);
        player.write(0, 1000, dice);
        player.start();
        player.play(300);
        player.xrun();
        player.play(96);
        player.prepare();
        player.write(0, 400, dice);
        player.start();
        player.xrun();
        player.play(3000);
        CHECK(player.heard == player.expected());
    }
}

TEST_CASE("track: at the device's own rate it is the stream, in the program's format")
{
    Player player(48000, abi::format_s24);
    CHECK_FALSE(player.track.converted());
    CHECK(player.slot().config.format.load() == abi::format_s24);
    Player other(44100, abi::format_s24);
    CHECK(other.track.converted());
    CHECK(other.slot().config.format.load() == abi::format_s32_high);
}
