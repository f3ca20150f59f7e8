// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Underruns: reported and recovered from, or passed over where the program wants that.

#include "support.h"

using namespace ringmix::test;

namespace {
const Signal tone(SND_PCM_FORMAT_S16_LE, 2);
} // namespace

TEST_CASE("an underrun stops the PCM and is told by every call")
{
    Server server;
    Pcm pcm(server, Setup{});
    pcm.write(tone, 0, 4800);
    auto descriptors = pcm.descriptors();
    REQUIRE(eventually([&] { return snd_pcm_avail(pcm) == -EPIPE; }));
    CHECK(pcm.state() == SND_PCM_STATE_XRUN);
    snd_pcm_sframes_t delay = 0;
    CHECK(snd_pcm_delay(pcm, &delay) == -EPIPE);
    const auto bytes = tone.frames(0, 100);
    CHECK(snd_pcm_writei(pcm, bytes.data(), 100) == -EPIPE);
    CHECK(snd_pcm_wait(pcm, patience_ms) == -EPIPE);
    CHECK(snd_pcm_avail_update(pcm) == -EPIPE);
    REQUIRE(::poll(descriptors.data(), 1, patience_ms) == 1);
    CHECK((revents(pcm, descriptors) & POLLERR) != 0);
    snd_pcm_status_t* status;
    snd_pcm_status_alloca(&status);
    REQUIRE(snd_pcm_status(pcm, status) == 0);
    CHECK(snd_pcm_status_get_state(status) == SND_PCM_STATE_XRUN);

    REQUIRE(snd_pcm_recover(pcm, -EPIPE, 1) == 0);
    CHECK(pcm.state() == SND_PCM_STATE_PREPARED);
    pcm.write(tone, 0, 2500);
    REQUIRE(snd_pcm_drain(pcm) == 0);
    const Recording recording = server.recording(2);
    REQUIRE(recording.streams.size() == 2);
    CHECK(recording.differs(recording.streams[0].first, tone, 0, 4800) == -1);
    CHECK(recording.streams[0].frames() == heard_frames(4800));
    CHECK(recording.sounds(recording.streams[0].first + 4800, recording.streams[1].first) == -1);
    CHECK(recording.differs(recording.streams[1].first, tone, 0, 2500) == -1);
}

TEST_CASE("a program asleep in poll() hears of the underrun")
{
    Server server;
    Setup setup;
    setup.avail_min = 4801; // more than there can be without an underrun
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 4800);
    auto descriptors = pcm.descriptors();
    const std::int64_t start = now_ms();
    unsigned short events = 0;
    for (int i = 0; i < 10 && events == 0; i++) {
        REQUIRE(::poll(descriptors.data(), 1, patience_ms) == 1);
        events = revents(pcm, descriptors);
    }
    CHECK((events & POLLERR) != 0);
    CHECK(pcm.state() == SND_PCM_STATE_XRUN);
    CHECK(now_ms() - start < std::int64_t{4800} * 1000 / client_rate() + 350);
}

TEST_CASE("underruns again and again: each stretch is played exactly")
{
    Server server;
    Setup setup;
    setup.start_threshold = 1;
    Pcm pcm(server, setup);
    for (unsigned turn = 0; turn < 5; turn++) {
        pcm.write(tone, turn * 100, 2500);
        REQUIRE(eventually([&] { return snd_pcm_avail(pcm) == -EPIPE; }));
        REQUIRE(snd_pcm_prepare(pcm) == 0);
    }
    const Recording recording = server.recording(5);
    REQUIRE(recording.streams.size() == 5);
    for (unsigned turn = 0; turn < 5; turn++)
        CHECK(recording.differs(recording.streams[turn].first, tone, turn * 100, 2500) == -1);
}

TEST_CASE("without a stop threshold the stream goes on in time; late frames are left out" * at_device_rate())
{
    Server server;
    Setup setup;
    setup.stops = false;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 4800);
    REQUIRE(eventually([&] { return pcm.delay() < -2400; })); // 50 ms behind
    CHECK(pcm.state() == SND_PCM_STATE_RUNNING);
    CHECK(pcm.avail() > 4800);
    pcm.write(tone, 4800, 14400); // more than is late and more than the buffer
    CHECK(pcm.state() == SND_PCM_STATE_RUNNING);
    CHECK(pcm.delay() > 0);
    REQUIRE(snd_pcm_drain(pcm) == 0);

    const Recording recording = server.recording();
    REQUIRE(recording.streams.size() == 1);
    const std::uint64_t first = recording.streams[0].first;
    CHECK(recording.differs(first, tone, 0, 4800) == -1);
    std::uint64_t back = 4800;
    while (back < 19200 && recording.differs(first + back, tone, back, 1) != -1)
        back++;
    CHECK(back > 4800 + 2000);
    REQUIRE(back < 18800);
    CHECK(recording.sounds(first + 4800, first + back) == -1);
    CHECK(recording.differs(first + back, tone, back, 19200 - back) == -1);
}

TEST_CASE("a write of many buffers, all too late, returns")
{
    Server server;
    Setup setup;
    setup.stops = false;
    setup.period = 32;
    setup.buffer = 96;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 96);
    REQUIRE(eventually([&] { return pcm.delay() < -4800; }));
    pcm.write(tone, 96, 4000);
    CHECK(pcm.state() == SND_PCM_STATE_RUNNING);
    CHECK(pcm.delay() < 0);
    CHECK(snd_pcm_drop(pcm) == 0);
}
