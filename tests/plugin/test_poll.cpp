// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Programs that wait with poll() or snd_pcm_wait, and those that do not wait at all.

#include "support.h"

#include <algorithm>

using namespace ringmix::test;

namespace {
const Signal tone(SND_PCM_FORMAT_S16_LE, 2);

struct Counts {
    unsigned writes = 0, wakes = 0, idle = 0, xruns = 0; // idle: wakes with nothing to do
};

// A program with an event loop: it gets its descriptors once, and writes all there is room for.
Counts play_polling(const Pcm& pcm, unsigned writes)
{
    Counts counts;
    std::uint64_t position = 0;
    auto descriptors = pcm.descriptors();
    while (counts.writes < writes) {
        REQUIRE(::poll(descriptors.data(), descriptors.size(), patience_ms) == 1);
        counts.wakes++;
        const unsigned short events = revents(pcm, descriptors);
        const snd_pcm_sframes_t avail = snd_pcm_avail_update(pcm);
        if (avail == -EPIPE) {
            counts.xruns++;
            REQUIRE(snd_pcm_prepare(pcm) == 0);
        } else if ((events & POLLOUT) == 0) {
            counts.idle++;
        } else {
            REQUIRE(avail >= static_cast<snd_pcm_sframes_t>(pcm.setup().avail_min));
            const auto frames = static_cast<snd_pcm_uframes_t>(avail);
            const auto bytes = tone.frames(position, frames);
            const snd_pcm_sframes_t taken = snd_pcm_writei(pcm, bytes.data(), frames);
            counts.writes++;
            if (taken > 0)
                position += static_cast<std::uint64_t>(taken);
        }
    }
    return counts;
}

// The first events that are any. A long sleep is interrupted for a look at the device.
unsigned short wait_for_events(const Pcm& pcm)
{
    auto descriptors = pcm.descriptors();
    for (;;) {
        REQUIRE(::poll(descriptors.data(), descriptors.size(), patience_ms) == 1);
        if (const unsigned short events = revents(pcm, descriptors); events != 0)
            return events;
    }
}

void check_wakes(const Counts& counts)
{
    MESSAGE(counts.writes, " writes, ", counts.wakes, " wake-ups, ", counts.idle, " of them idle, ", counts.xruns,
            " underruns");
    CHECK(counts.wakes <= counts.writes * 2 + counts.xruns * 3 + 10);
}
} // namespace

TEST_CASE("a polling program is woken once per period and plays exactly")
{
    Server server;
    Pcm pcm(server, "polling", "", SND_PCM_NONBLOCK);
    Setup setup;
    SUBCASE("period 480") { setup.avail_min = 480; }
    SUBCASE("avail_min of two periods") { setup.avail_min = 960; }
    SUBCASE("avail_min of three frames less than the buffer") { setup.avail_min = 4797; }
    SUBCASE("a period of 441 frames")
    {
        setup.avail_min = setup.period = 441;
        setup.buffer = 4410;
    }
    pcm.configure(setup);
    const Counts counts = play_polling(pcm, 40);
    check_wakes(counts);
    REQUIRE(snd_pcm_nonblock(pcm, 0) == 0);
    REQUIRE(snd_pcm_drain(pcm) == 0);
    const Recording recording = server.recording(1 + counts.xruns);
    if (counts.xruns == 0) {
        const auto& stream = recording.streams[0];
        const std::uint64_t played = stream.played();
        CHECK(played + (converting() ? 10 : 0) >= 40 * setup.avail_min);
        CHECK(recording.differs(stream.first, tone, 0, played) == -1);
    }
}

TEST_CASE("tiny periods")
{
    Server server;
    Setup setup;
    setup.period = setup.avail_min = 32;
    SUBCASE("buffer of two") { setup.buffer = 64; }
    SUBCASE("buffer of sixteen") { setup.buffer = 512; }
    Pcm pcm(server, setup);
    check_wakes(play_polling(pcm, 300));
    CHECK(snd_pcm_drop(pcm) == 0);
}

TEST_CASE("a buffer of two seconds, longer than the device's")
{
    Server server;
    Setup setup;
    setup.period = setup.avail_min = 24000;
    setup.buffer = 96000;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 96000);
    CHECK(wait_for_events(pcm) == POLLOUT);
    CHECK(pcm.avail() >= 24000);
    CHECK(pcm.avail() < 48000);
    pcm.wait_played(4800);
    REQUIRE(snd_pcm_drop(pcm) == 0);
    const Recording recording = server.recording();
    const auto& stream = recording.streams[0];
    const std::uint64_t played = stream.played();
    CHECK(played > 24000);
    CHECK(recording.differs(stream.first, tone, 0, played) == -1);
    CHECK(recording.sounds(stream.first + stream.frames(), recording.frames()) == -1);
}

TEST_CASE("a prepared PCM is writable, a full one is not until it runs")
{
    Server server;
    Setup setup;
    setup.start_threshold = by_hand;
    Pcm pcm(server, setup);
    auto descriptors = pcm.descriptors();
    REQUIRE(::poll(descriptors.data(), 1, 0) == 1);
    CHECK(revents(pcm, descriptors) == POLLOUT);
    pcm.write(tone, 0, 4800);
    REQUIRE(::poll(descriptors.data(), 1, 20) == 0);
    REQUIRE(snd_pcm_start(pcm) == 0);
    REQUIRE(::poll(descriptors.data(), 1, patience_ms) == 1); // the same descriptors, not asked for again
    CHECK(revents(pcm, descriptors) == POLLOUT);
    CHECK(pcm.state() == SND_PCM_STATE_RUNNING);
}

TEST_CASE("a PCM without configuration does not hang poll()")
{
    Server server;
    Pcm pcm(server);
    auto descriptors = pcm.descriptors();
    REQUIRE(::poll(descriptors.data(), 1, patience_ms) == 1);
    CHECK((revents(pcm, descriptors) & POLLERR) != 0);
}

TEST_CASE("the underrun of a changed avail_min, rewound audio and a resumed PCM are all seen by poll()")
{
    Server server;
    Setup setup;
    setup.buffer = 9600;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 9600);
    const std::int64_t start = now_ms();
    REQUIRE(snd_pcm_rewind(pcm, 7000) == 7000);
    pcm.write(tone, 2600, 480); // much earlier than what the timer was set for
    CHECK(wait_for_events(pcm) == POLLOUT);
    CHECK(pcm.avail() >= 480);
    REQUIRE(snd_pcm_pause(pcm, 1) == 0);
    REQUIRE(snd_pcm_pause(pcm, 0) == 0);
    while ((wait_for_events(pcm) & POLLERR) == 0)
        ; // nobody writes: it ends in an underrun
    CHECK(pcm.state() == SND_PCM_STATE_XRUN);
    CHECK(now_ms() - start < 2000);
}

TEST_CASE("a program that got its descriptors before it rewound is woken for the room that it has made")
{
    Server server;
    Setup setup;
    setup.buffer = 48000;
    setup.avail_min = 30000;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 48000);
    auto descriptors = pcm.descriptors();
    REQUIRE(snd_pcm_rewind(pcm, 35000) == 35000);
    pcm.write(tone, 13000, 480); // it runs dry long before what the timer was set for
    unsigned short events = 0;
    while (events == 0) {
        REQUIRE(::poll(descriptors.data(), descriptors.size(), patience_ms) == 1);
        events = revents(pcm, descriptors);
    }
    CHECK(events == POLLOUT);
}

TEST_CASE("a PCM that does not block says -EAGAIN when it is full")
{
    Server server;
    Pcm pcm(server, "test", "", SND_PCM_NONBLOCK);
    pcm.configure({});
    const auto bytes = tone.frames(0, 6000);
    CHECK(snd_pcm_writei(pcm, bytes.data(), 6000) == 4800);
    snd_pcm_sframes_t taken = snd_pcm_writei(pcm, bytes.data(), 6000);
    CHECK((taken == -EAGAIN || taken > 0)); // a slow machine may have played a period
    REQUIRE(eventually([&] { return (taken = snd_pcm_writei(pcm, bytes.data(), 480)) > 0; }));
    CHECK(taken <= 480);
}

TEST_CASE("snd_pcm_wait")
{
    Server server;
    Setup setup;
    setup.buffer = 9600;
    setup.period = setup.avail_min = 2400;
    setup.start_threshold = by_hand;
    Pcm pcm(server, setup);
    CHECK(snd_pcm_wait(pcm, 0) == 1);
    pcm.write(tone, 0, 9600);
    CHECK(snd_pcm_wait(pcm, 0) == 0);
    const std::int64_t start = now_ms();
    CHECK(snd_pcm_wait(pcm, 30) == 0);
    CHECK(now_ms() - start >= 29);
    REQUIRE(snd_pcm_start(pcm) == 0);
    CHECK(snd_pcm_wait(pcm, -1) == 1);
    CHECK(snd_pcm_avail_update(pcm) >= 2400);
}
