// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Rewind, forward and reset. ioplug neither clamps them nor tells the plugin.

#include "support.h"

using namespace ringmix::test;

namespace {
const Signal tone(SND_PCM_FORMAT_S16_LE, 2, 1), other(SND_PCM_FORMAT_S16_LE, 2, 2);

Setup long_buffer(bool stops = true)
{
    Setup setup;
    setup.buffer = 9600;
    setup.stops = stops;
    return setup;
}
} // namespace

TEST_CASE("rewound audio is replaced exactly")
{
    Server server;
    Pcm pcm(server, long_buffer());
    pcm.write(tone, 0, 9600);
    pcm.wait_played(960);
    const snd_pcm_sframes_t rewindable = snd_pcm_rewindable(pcm);
    CHECK(rewindable > 2000);
    CHECK(rewindable <= 9600);
    REQUIRE(snd_pcm_rewind(pcm, 2000) == 2000);
    pcm.write(other, 7600, 1500); // less than before: it ends earlier
    CHECK(pcm.delay() + pcm.avail() >= 9600);
    REQUIRE(snd_pcm_drain(pcm) == 0);

    const Recording recording = server.recording();
    const std::uint64_t first = recording.streams[0].first;
    CHECK(recording.differs(first, tone, 0, 7600) == -1);
    CHECK(recording.differs(first + 7600, other, 7600, 1500) == -1);
    CHECK(recording.sounds(first + 9100, recording.frames()) == -1);
}

TEST_CASE("rewind of what was not started yet")
{
    Server server;
    Setup setup = long_buffer();
    setup.start_threshold = by_hand;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 5000);
    REQUIRE(snd_pcm_rewind(pcm, 3000) == 3000);
    SUBCASE("then rewritten")
    {
        pcm.write(other, 2000, 1000);
        REQUIRE(snd_pcm_start(pcm) == 0);
        REQUIRE(snd_pcm_drain(pcm) == 0);
        const Recording recording = server.recording();
        CHECK(recording.differs(recording.streams[0].first, tone, 0, 2000) == -1);
        CHECK(recording.differs(recording.streams[0].first + 2000, other, 2000, 1000) == -1);
        CHECK(recording.sounds(recording.streams[0].first + 3000, recording.frames()) == -1);
    }
    SUBCASE("then drained")
    {
        REQUIRE(snd_pcm_drain(pcm) == 0);
        const Recording recording = server.recording();
        CHECK(recording.differs(recording.streams[0].first, tone, 0, 2000) == -1);
        CHECK(recording.sounds(recording.streams[0].first + 2000, recording.frames()) == -1);
    }
}

TEST_CASE("what was rewound before the start is not heard, also if nothing stops there")
{
    Server server;
    Setup setup = long_buffer(false);
    setup.start_threshold = by_hand;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 5000);
    REQUIRE(snd_pcm_rewind(pcm, 3000) == 3000);
    REQUIRE(snd_pcm_start(pcm) == 0);
    pcm.wait_played(4500); // it goes on without sound
    REQUIRE(snd_pcm_drop(pcm) == 0);
    const Recording recording = server.recording();
    CHECK(recording.differs(recording.streams[0].first, tone, 0, 2000) == -1);
    CHECK(recording.sounds(recording.streams[0].first + 2000, recording.frames()) == -1);
}

TEST_CASE("rewind and forward by as much change nothing")
{
    Server server;
    Setup setup = long_buffer();
    setup.buffer = 48000; // no write waits, and what is queued lasts longer than this process may be held up
    setup.start_threshold = 19200;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 19200);
    pcm.wait_played(480);
    REQUIRE(snd_pcm_rewind(pcm, 3000) == 3000);
    pcm.avail();
    REQUIRE(snd_pcm_forward(pcm, 3000) == 3000);
    pcm.write(tone, 19200, 4800);
    REQUIRE(snd_pcm_drain(pcm) == 0);
    const Recording recording = server.recording();
    CHECK(recording.differs(recording.streams[0].first, tone, 0, 24000) == -1);
}

TEST_CASE("rewind, then drain: the rewound part is not heard")
{
    Server server;
    Pcm pcm(server, long_buffer());
    pcm.write(tone, 0, 9600);
    pcm.wait_played(480);
    REQUIRE(snd_pcm_rewind(pcm, 4000) == 4000);
    REQUIRE(snd_pcm_drain(pcm) == 0);
    const Recording recording = server.recording();
    CHECK(recording.differs(recording.streams[0].first, tone, 0, 5600) == -1);
    CHECK(recording.sounds(recording.streams[0].first + 5600, recording.frames()) == -1);
}

TEST_CASE("rewind of more than can be changed: what is too late stays, the rest is replaced" * at_device_rate())
{
    Server server;
    constexpr std::uint64_t frames = 48000; // much longer than this process may be held up
    Setup setup = long_buffer(false);
    setup.buffer = frames;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, frames);
    pcm.wait_played(2400);
    pcm.avail(); // while hw_ptr is 0 as well, this would look like a reset
    REQUIRE(snd_pcm_rewind(pcm, frames) == static_cast<snd_pcm_sframes_t>(frames));
    pcm.write(other, 0, frames);
    REQUIRE(snd_pcm_drain(pcm) == 0);
    const Recording recording = server.recording();
    const std::uint64_t first = recording.streams[0].first;
    const std::int64_t changed = recording.differs(first, tone, 0, frames);
    CHECK(changed > 0);
    REQUIRE(changed < static_cast<std::int64_t>(frames));
    CHECK(recording.differs(first + static_cast<std::uint64_t>(changed), other, static_cast<std::uint64_t>(changed),
                            frames - static_cast<std::uint64_t>(changed)) == -1);
}

TEST_CASE("rewind of more than can be changed stops a PCM that stops at an underrun")
{
    Server server;
    Pcm pcm(server, long_buffer());
    pcm.write(tone, 0, 9600);
    pcm.wait_played(2400);
    REQUIRE(snd_pcm_rewind(pcm, 9600) == 9600);
    CHECK(snd_pcm_avail(pcm) == -EPIPE);
    CHECK(pcm.state() == SND_PCM_STATE_XRUN);
    REQUIRE(snd_pcm_prepare(pcm) == 0);
    pcm.write(other, 0, 9600);
    REQUIRE(snd_pcm_drain(pcm) == 0);
    const Recording recording = server.recording(2);
    CHECK(recording.differs(recording.streams[1].first, other, 0, 9600) == -1);
}

TEST_CASE("forward leaves silence, and draining it ends")
{
    Server server;
    Pcm pcm(server, long_buffer());
    pcm.write(tone, 0, 9600);
    pcm.wait_played(4800);
    CHECK(snd_pcm_forwardable(pcm) <= pcm.avail());
    REQUIRE(snd_pcm_forward(pcm, 1000) == 1000);
    pcm.write(tone, 9600, 1000);
    REQUIRE(snd_pcm_forward(pcm, 300) == 300);
    REQUIRE(snd_pcm_drain(pcm) == 0);
    const Recording recording = server.recording();
    const std::uint64_t first = recording.streams[0].first;
    CHECK(recording.differs(first, tone, 0, 9600) == -1);
    CHECK(recording.sounds(first + 9600, first + 10600) == -1);
    CHECK(recording.differs(first + 10600, tone, 9600, 1000) == -1);
    CHECK(recording.sounds(first + 11600, recording.frames()) == -1);
}

TEST_CASE("reset forgets what is queued and goes on" * at_device_rate())
{
    Server server;
    Pcm pcm(server, long_buffer(false));
    pcm.write(tone, 0, 9600);
    pcm.wait_played(2400);
    REQUIRE(snd_pcm_reset(pcm) == 0);
    CHECK(pcm.delay() < 1000);
    CHECK(pcm.avail() >= 9600);
    CHECK(pcm.state() == SND_PCM_STATE_RUNNING);
    pcm.write(other, 0, 9600); // its first frames are late: the device did not wait
    CHECK(pcm.delay() > 0);
    REQUIRE(snd_pcm_drain(pcm) == 0);
    const Recording recording = server.recording();
    const std::uint64_t first = recording.streams[0].first;
    const auto played = static_cast<std::uint64_t>(recording.differs(first, tone, 0, 9600));
    CHECK(played < 9000);
    std::uint64_t next = first + played;
    while (next < recording.frames() && recording.samples[next * 2] == 0)
        next++;
    const auto end = static_cast<std::uint64_t>(recording.streams[0].last) + 1;
    REQUIRE(end > next);
    CHECK(recording.differs(next, other, 9600 - (end - next), end - next) == -1);
}

TEST_CASE("reset of a prepared and of a paused PCM" * at_device_rate())
{
    Server server;
    Setup setup = long_buffer();
    setup.start_threshold = by_hand;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 5000);
    REQUIRE(snd_pcm_reset(pcm) == 0);
    CHECK(pcm.avail() == 9600);
    CHECK(pcm.delay() == 0);
    pcm.write(other, 0, 4800);
    REQUIRE(snd_pcm_start(pcm) == 0);
    pcm.wait_played(2400);
    REQUIRE(snd_pcm_pause(pcm, 1) == 0);
    REQUIRE(snd_pcm_reset(pcm) == 0);
    CHECK(pcm.avail() == 9600);
    CHECK(pcm.delay() == 0);
    pcm.write(tone, 0, 3000);
    CHECK(pcm.delay() == 3000);
    REQUIRE(snd_pcm_pause(pcm, 0) == 0);
    REQUIRE(snd_pcm_drain(pcm) == 0);
    const Recording recording = server.recording(2);
    REQUIRE(recording.streams.size() == 2);
    CHECK(recording.differs(recording.streams[0].first, other, 0, recording.streams[0].played()) == -1);
    CHECK(recording.differs(recording.streams[1].first, tone, 0, 3000) == -1);
    CHECK(recording.sounds(recording.streams[1].first + 3000, recording.frames()) == -1);
}

TEST_CASE("reset of a PCM that stops at underruns is one, at the latest when it is seen")
{
    Server server;
    Pcm pcm(server, long_buffer());
    pcm.write(tone, 0, 9600);
    pcm.wait_played(2400);
    REQUIRE(snd_pcm_reset(pcm) == 0);
    CHECK(snd_pcm_avail(pcm) == -EPIPE);
    REQUIRE(snd_pcm_recover(pcm, -EPIPE, 1) == 0);
    CHECK(pcm.avail() == 9600);
}
