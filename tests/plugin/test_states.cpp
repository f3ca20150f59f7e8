// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The life of a stream: configure, start, drain, drop, prepare, again.

#include "support.h"

using namespace ringmix::test;

namespace {
const Signal tone(SND_PCM_FORMAT_S16_LE, 2);

Setup started_by_hand()
{
    Setup setup;
    setup.start_threshold = by_hand;
    return setup;
}

void check_played(Server& server, std::uint64_t frames)
{
    const Recording recording = server.recording();
    REQUIRE(recording.streams.size() == 1);
    const std::uint64_t first = recording.streams[0].first;
    CHECK(recording.differs(first, tone, 0, frames) == -1);
    CHECK(recording.sounds(0, first) == -1);
    CHECK(recording.sounds(first + frames, recording.frames()) == -1);
}
} // namespace

TEST_CASE("the start threshold starts")
{
    Server server;
    Setup setup;
    setup.start_threshold = 960;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 959);
    CHECK(pcm.state() == SND_PCM_STATE_PREPARED);
    pcm.write(tone, 959, 1);
    CHECK(pcm.state() == SND_PCM_STATE_RUNNING);
    pcm.write(tone, 960, 2000);
    REQUIRE(snd_pcm_drain(pcm) == 0);
    check_played(server, 2960);
}

TEST_CASE("an explicit start plays what was written before, to the last part of a period")
{
    Server server;
    Pcm pcm(server, started_by_hand());
    pcm.write(tone, 0, 3333);
    CHECK(pcm.state() == SND_PCM_STATE_PREPARED);
    CHECK(pcm.delay() == 3333);
    REQUIRE(snd_pcm_start(pcm) == 0);
    CHECK(pcm.state() == SND_PCM_STATE_RUNNING);
    CHECK(snd_pcm_start(pcm) == -EBADFD);
    REQUIRE(snd_pcm_drain(pcm) == 0);
    check_played(server, 3333);
}

TEST_CASE("a start with nothing to play is an underrun, as with a kernel's PCM")
{
    Server server;
    Pcm pcm(server, started_by_hand());
    CHECK(snd_pcm_start(pcm) == -EPIPE);
    CHECK(pcm.state() == SND_PCM_STATE_PREPARED);
    pcm.write(tone, 0, 2500);
    CHECK(snd_pcm_start(pcm) == 0);
    CHECK(snd_pcm_drain(pcm) == 0);
    check_played(server, 2500);
}

TEST_CASE("drain starts what was only prepared and returns when it has been heard")
{
    Server server;
    Pcm pcm(server, started_by_hand());
    pcm.write(tone, 0, 2500);
    const std::int64_t start = now_ms();
    REQUIRE(snd_pcm_drain(pcm) == 0);
    CHECK(now_ms() - start >= std::int64_t{2500} * 1000 / client_rate() - 2);
    CHECK(pcm.state() == SND_PCM_STATE_SETUP);
    check_played(server, 2500);
}

TEST_CASE("drain with nothing written ends at once")
{
    Server server;
    Pcm pcm(server, started_by_hand());
    REQUIRE(snd_pcm_drain(pcm) == 0);
    CHECK(pcm.state() == SND_PCM_STATE_SETUP);
    CHECK(snd_pcm_drain(pcm) == 0);
}

TEST_CASE("a drain that does not block ends while the program polls")
{
    Server server;
    for (const bool prepared_only : {true, false}) {
        CAPTURE(prepared_only);
        Pcm pcm(server, prepared_only ? "prepared" : "running");
        pcm.configure(started_by_hand());
        pcm.write(tone, 0, 3500);
        if (!prepared_only)
            REQUIRE(snd_pcm_start(pcm) == 0);
        REQUIRE(snd_pcm_nonblock(pcm, 1) == 0);
        REQUIRE(snd_pcm_drain(pcm) == -EAGAIN);
        CHECK(pcm.state() == SND_PCM_STATE_DRAINING);
        auto descriptors = pcm.descriptors();
        unsigned wakes = 0;
        for (; pcm.state() == SND_PCM_STATE_DRAINING && wakes < 100; wakes++) {
            REQUIRE(::poll(descriptors.data(), descriptors.size(), patience_ms) == 1);
            revents(pcm, descriptors);
        }
        CHECK(wakes < 10);
        CHECK(pcm.state() == SND_PCM_STATE_SETUP);
        CHECK(snd_pcm_drain(pcm) == 0);
    }
    const Recording recording = server.recording(2);
    for (const char* name : {"prepared", "running"})
        CHECK(recording.differs(recording.only(name).first, tone, 0, 3500) == -1);
}

TEST_CASE("a drain that does not block can be asked for again and again")
{
    Server server;
    Pcm pcm(server, started_by_hand());
    pcm.write(tone, 0, 2500);
    REQUIRE(snd_pcm_nonblock(pcm, 1) == 0);
    int result = -EAGAIN;
    REQUIRE(eventually([&] { return (result = snd_pcm_drain(pcm)) != -EAGAIN; }));
    CHECK(result == 0);
    check_played(server, 2500);
}

TEST_CASE("drop ends at once; what was played before it is exact")
{
    Server server;
    Setup setup;
    setup.buffer = 24000;
    setup.period = 4800;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 24000);
    pcm.wait_played(4800);
    REQUIRE(snd_pcm_drop(pcm) == 0);
    CHECK(pcm.state() == SND_PCM_STATE_SETUP);
    const Recording recording = server.recording();
    const auto& stream = recording.streams[0];
    const std::uint64_t played = stream.played();
    CHECK(played >= 2400); // the delay also counted the time before the first frame
    CHECK(played < 24000);
    CHECK(recording.differs(stream.first, tone, 0, played) == -1);
    CHECK(recording.sounds(stream.first + stream.frames(), recording.frames()) == -1);
}

TEST_CASE("prepare after drop, after drain and while running begins anew")
{
    Server server;
    Pcm pcm(server, started_by_hand());
    for (unsigned turn = 0; turn < 3; turn++) {
        pcm.write(Signal(SND_PCM_FORMAT_S16_LE, 2, turn), 0, 4800);
        REQUIRE(snd_pcm_start(pcm) == 0);
        pcm.wait_played(2400);
        if (turn == 0)
            REQUIRE(snd_pcm_drop(pcm) == 0);
        else if (turn == 1)
            REQUIRE(snd_pcm_drain(pcm) == 0);
        REQUIRE(snd_pcm_prepare(pcm) == 0);
        CHECK(pcm.state() == SND_PCM_STATE_PREPARED);
        CHECK(pcm.delay() == 0);
        CHECK(pcm.avail() == 4800);
    }
    pcm.write(tone, 0, 4800);
    REQUIRE(snd_pcm_drain(pcm) == 0);

    const Recording recording = server.recording(4);
    REQUIRE(recording.streams.size() == 4);
    for (unsigned turn = 0; turn < 4; turn++) {
        CAPTURE(turn);
        const auto& stream = recording.streams[turn];
        const std::uint64_t played = stream.played();
        CHECK(recording.differs(stream.first, Signal(SND_PCM_FORMAT_S16_LE, 2, turn < 3 ? turn : 1), 0, played) == -1);
        if (turn < 3)
            CHECK(recording.sounds(stream.first + stream.frames(), recording.streams[turn + 1].first) == -1);
    }
    CHECK(recording.streams[1].frames() == heard_frames(4800));
}

TEST_CASE("what was written but never started is not heard")
{
    Server server;
    Pcm pcm(server, started_by_hand());
    pcm.write(tone, 0, 1000);
    REQUIRE(snd_pcm_drop(pcm) == 0);
    REQUIRE(snd_pcm_prepare(pcm) == 0);
    const Signal other(SND_PCM_FORMAT_S16_LE, 2, 7);
    pcm.write(other, 0, 2300);
    REQUIRE(snd_pcm_drain(pcm) == 0);
    const Recording recording = server.recording();
    CHECK(recording.differs(recording.streams[0].first, other, 0, 2300) == -1);
    CHECK(recording.sounds(recording.streams[0].first + 2300, recording.frames()) == -1);
}

TEST_CASE("one PCM plays one format after the other")
{
    Server server;
    Pcm pcm(server);
    const snd_pcm_format_t formats[] = {SND_PCM_FORMAT_S32_LE, SND_PCM_FORMAT_U8, SND_PCM_FORMAT_FLOAT_LE};
    for (unsigned turn = 0; turn < 3; turn++) {
        Setup setup;
        setup.format = formats[turn];
        setup.buffer = 4800 + 4800 * turn;
        pcm.configure(setup);
        pcm.write(Signal(formats[turn], 2, turn), 0, 2500);
        REQUIRE(snd_pcm_drain(pcm) == 0);
        if (turn == 1)
            REQUIRE(snd_pcm_hw_free(pcm) == 0);
    }
    const Recording recording = server.recording(3);
    for (unsigned turn = 0; turn < 3; turn++)
        CHECK(recording.differs(recording.streams[turn].first, Signal(formats[turn], 2, turn), 0, 2500) == -1);
}

TEST_CASE("close while running leaves only what was played")
{
    Server server;
    {
        Setup setup;
        setup.buffer = 24000;
        setup.period = 4800;
        Pcm pcm(server, setup);
        pcm.write(tone, 0, 24000);
        pcm.wait_played(2400);
    }
    CHECK(eventually([&] { return server.clients() == 0; }));
    const Recording recording = server.recording();
    const auto& stream = recording.streams[0];
    const std::uint64_t played = stream.played();
    CHECK(played < 24000);
    CHECK(recording.differs(stream.first, tone, 0, played) == -1);
    CHECK(recording.sounds(stream.first + stream.frames(), recording.frames()) == -1);
}

TEST_CASE("open and close without configuration, many times over")
{
    Server server;
    for (int i = 0; i < 50; i++) // the server frees their slots a little later
        Pcm pcm(server);
    Pcm pcm(server);
    CHECK(pcm.state() == SND_PCM_STATE_OPEN);
    CHECK(snd_pcm_get_chmap(pcm) == nullptr);
    CHECK(eventually([&] { return server.clients() == 1; }));
}

TEST_CASE("an open PCM can be dumped")
{
    Server server;
    Pcm pcm(server);
    snd_output_t* out = nullptr;
    REQUIRE(snd_output_buffer_open(&out) == 0);
    CHECK(snd_pcm_dump(pcm, out) == 0);
    pcm.configure({});
    CHECK(snd_pcm_dump(pcm, out) == 0);
    char* text = nullptr;
    const std::size_t length = snd_output_buffer_string(out, &text);
    CHECK(std::string(text, length).find(server.socket()) != std::string::npos);
    snd_output_close(out);
}
