// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Pause: nothing is lost, nothing is heard twice.

#include "support.h"

#include <atomic>

using namespace ringmix::test;

namespace {
const Signal tone(SND_PCM_FORMAT_S16_LE, 2);

// The recording holds the tone in pieces with silence between them; returns their number.
unsigned check_pieces(const Recording& recording, std::uint64_t frames)
{
    std::vector<std::int32_t> pieces;
    std::uint64_t silent_from = 0;
    for (const Recording::Stream& stream : recording.streams) {
        CHECK(recording.sounds(silent_from, stream.first) == -1);
        silent_from = static_cast<std::uint64_t>(stream.last + 1);
        pieces.insert(pieces.end(), recording.samples.begin() + static_cast<std::ptrdiff_t>(stream.first * 2),
                      recording.samples.begin() + static_cast<std::ptrdiff_t>(silent_from * 2));
    }
    CHECK((pieces == heard(tone, 0, frames)));
    CHECK(recording.sounds(silent_from, recording.frames()) == -1);
    return static_cast<unsigned>(recording.streams.size());
}
} // namespace

TEST_CASE("pause and resume: prefix, gap, rest")
{
    Server server;
    Setup setup;
    setup.buffer = 9600;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 9600);
    for (int i = 0; i < 3; i++) {
        pcm.wait_played(2200);
        REQUIRE(snd_pcm_pause(pcm, 1) == 0);
        CHECK(pcm.state() == SND_PCM_STATE_PAUSED);
        const snd_pcm_sframes_t delay = pcm.delay(), avail = pcm.avail();
        CHECK(delay + avail == 9600);
        const std::uint64_t frames = server.recorded_so_far().frames();
        REQUIRE(eventually([&] { return server.recorded_so_far().frames() > frames + 2400; }));
        CHECK(pcm.delay() == delay);
        CHECK(pcm.avail() == avail);
        REQUIRE(snd_pcm_pause(pcm, 0) == 0);
        CHECK(pcm.state() == SND_PCM_STATE_RUNNING);
        CHECK(pcm.delay() > delay - 4800);
    }
    REQUIRE(snd_pcm_drain(pcm) == 0);
    CHECK(check_pieces(server.recording(4), 9600) == 4);
}

TEST_CASE("what is written while paused follows what was queued")
{
    Server server;
    Setup setup;
    setup.buffer = 9600;
    setup.start_threshold = 1;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 4800);
    pcm.wait_played(2200);
    REQUIRE(snd_pcm_pause(pcm, 1) == 0);
    pcm.write(tone, 4800, 4800);
    CHECK(pcm.state() == SND_PCM_STATE_PAUSED);
    REQUIRE(snd_pcm_pause(pcm, 0) == 0);
    REQUIRE(snd_pcm_drain(pcm) == 0);
    CHECK(check_pieces(server.recording(2), 9600) == 2);
}

TEST_CASE("a full paused PCM does not wake its program, nor block it for ever")
{
    Server server;
    Pcm pcm(server, Setup{});
    pcm.write(tone, 0, 4800);
    auto descriptors = pcm.descriptors();
    REQUIRE(snd_pcm_pause(pcm, 1) == 0);
    REQUIRE(snd_pcm_nonblock(pcm, 1) == 0);
    while (pcm.avail() > 0)
        pcm.write(tone, 0, static_cast<std::uint64_t>(pcm.avail()));
    const std::int64_t end = now_ms() + 300;
    unsigned wakes = 0;
    while (now_ms() < end)
        if (::poll(descriptors.data(), 1, static_cast<int>(std::max<std::int64_t>(end - now_ms(), 0))) == 1) {
            wakes++;
            CHECK(revents(pcm, descriptors) == 0);
        }
    CHECK(wakes < 5);
    REQUIRE(snd_pcm_pause(pcm, 0) == 0);
    REQUIRE(::poll(descriptors.data(), 1, patience_ms) == 1);
}

TEST_CASE("a write to a full paused PCM waits until it is resumed")
{
    Setup setup;
    setup.period = client_rate() / 40;
    setup.buffer = 10 * setup.period; // a quarter of a second, more than the writer may stand still for
    const std::uint64_t frames = setup.buffer * 3;
    Server server;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, setup.buffer);
    pcm.wait_played(480);
    REQUIRE(snd_pcm_pause(pcm, 1) == 0);
    std::atomic<unsigned> calls{0};
    std::thread writer([&] { // as programs do: what was not taken is written again
        for (std::uint64_t position = setup.buffer; position < frames; calls++) {
            const auto bytes = tone.frames(position, frames - position);
            const snd_pcm_sframes_t taken = snd_pcm_writei(pcm, bytes.data(), frames - position);
            REQUIRE(taken >= 0);
            position += static_cast<std::uint64_t>(taken);
        }
    });
    const std::uint64_t begun = server.recorded_so_far().frames();
    const auto keeps_still = [&] {
        CHECK(pcm.state() == SND_PCM_STATE_PAUSED); // whenever anybody looks
        return server.recorded_so_far().frames() > begun + 4800;
    };
    CHECK(eventually(keeps_still));
    CHECK(pcm.avail() == 0);
    CHECK(pcm.delay() >= static_cast<snd_pcm_sframes_t>(setup.buffer));
    CHECK(calls == 0); // one call that has taken what fits, and waits with the rest
    REQUIRE(snd_pcm_pause(pcm, 0) == 0);
    writer.join();
    CHECK(pcm.state() == SND_PCM_STATE_RUNNING);
    REQUIRE(snd_pcm_drain(pcm) == 0);
    CHECK(check_pieces(server.recording(2), frames) == 2);
}

TEST_CASE("drop ends the write that waits for a paused PCM")
{
    Server server;
    Pcm pcm(server, Setup{});
    pcm.write(tone, 0, 4800);
    REQUIRE(snd_pcm_pause(pcm, 1) == 0);
    pcm.write(tone, 0, static_cast<std::uint64_t>(pcm.avail()));
    std::atomic<bool> ended{false};
    snd_pcm_sframes_t result = 0;
    std::thread writer([&] {
        const auto bytes = tone.frames(0, 480);
        result = snd_pcm_writei(pcm, bytes.data(), 480);
        ended = true;
    });
    const std::uint64_t begun = server.recorded_so_far().frames();
    CHECK(eventually([&] { return server.recorded_so_far().frames() > begun + 2400; }));
    CHECK(!ended);
    REQUIRE(snd_pcm_drop(pcm) == 0);
    CHECK(eventually([&] { return ended.load(); }));
    writer.join();
    CHECK(result < 0);
}

TEST_CASE("programs that do not block are told the truth of a full paused PCM")
{
    Server server;
    Pcm pcm(server, Setup{});
    pcm.write(tone, 0, 4800);
    REQUIRE(snd_pcm_pause(pcm, 1) == 0);
    REQUIRE(snd_pcm_nonblock(pcm, 1) == 0);
    const auto bytes = tone.frames(0, 4800);
    const snd_pcm_sframes_t room = pcm.avail();
    if (room > 0)
        CHECK(snd_pcm_writei(pcm, bytes.data(), 4800) == room);
    for (int i = 0; i < 3; i++) {
        CHECK(snd_pcm_writei(pcm, bytes.data(), 480) == 0);
        CHECK(snd_pcm_avail_update(pcm) == 0);
        CHECK(pcm.avail() == 0);
        CHECK(pcm.state() == SND_PCM_STATE_PAUSED);
    }
}

TEST_CASE("who asks for room first is not made to wait by a paused PCM")
{
    Server server;
    Pcm pcm(server, Setup{});
    pcm.write(tone, 0, 4800);
    REQUIRE(snd_pcm_pause(pcm, 1) == 0);
    pcm.write(tone, 0, static_cast<std::uint64_t>(pcm.avail()));
    const auto bytes = tone.frames(0, 480);
    for (int i = 0; i < 5; i++) {
        const snd_pcm_sframes_t room = snd_pcm_avail_update(pcm);
        CHECK(room <= 1);
        if (room > 0)
            CHECK(snd_pcm_writei(pcm, bytes.data(), static_cast<snd_pcm_uframes_t>(room)) == 0);
    }
    REQUIRE(snd_pcm_pause(pcm, 0) == 0);
    REQUIRE(snd_pcm_drain(pcm) == 0);
}

TEST_CASE("drop, drain and prepare of a paused PCM")
{
    Server server;
    Setup setup;
    setup.buffer = 9600;
    Pcm pcm(server, setup);
    for (int turn = 0; turn < 3; turn++) {
        pcm.write(tone, 0, 9600);
        pcm.wait_played(2400);
        REQUIRE(snd_pcm_pause(pcm, 1) == 0);
        if (turn == 0)
            REQUIRE(snd_pcm_drop(pcm) == 0);
        else if (turn == 1)
            REQUIRE(snd_pcm_drain(pcm) == 0); // ALSA: dropped
        REQUIRE(snd_pcm_prepare(pcm) == 0);
        CHECK(pcm.delay() == 0);
    }
    const Recording recording = server.recording(3);
    for (const Recording::Stream& stream : recording.streams)
        CHECK(recording.differs(stream.first, tone, 0, stream.played()) == -1);
}

TEST_CASE("pause is for running PCMs")
{
    Server server;
    Pcm pcm(server, Setup{});
    snd_pcm_hw_params_t* hw;
    snd_pcm_hw_params_alloca(&hw);
    REQUIRE(snd_pcm_hw_params_current(pcm, hw) == 0);
    CHECK(snd_pcm_hw_params_can_pause(hw) == 1);
    CHECK(snd_pcm_pause(pcm, 1) == -EBADFD);
    pcm.write(tone, 0, 4800);
    CHECK(snd_pcm_pause(pcm, 0) == -EBADFD);
}

TEST_CASE("a stream that ends before it was heard leaves the fade of the one before it alone")
{
    Server server;
    Setup setup;
    setup.buffer = 9600;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 9600);
    pcm.wait_played(2400);
    REQUIRE(snd_pcm_drop(pcm) == 0);
    REQUIRE(snd_pcm_prepare(pcm) == 0);
    pcm.write(tone, 0, 9600);
    REQUIRE(snd_pcm_pause(pcm, 1) == 0);
    REQUIRE(snd_pcm_drop(pcm) == 0);
    const Recording recording = server.recording(2);
    const Recording::Stream& dropped = recording.streams[0];
    REQUIRE(dropped.fade == 240);
    const auto fade = static_cast<std::uint64_t>(dropped.last + 1);
    unsigned silent = 0; // the tone's own zeros, and the last frames of the fade
    for (std::uint64_t frame = fade; frame < fade + dropped.fade; frame++)
        silent += recording.samples[frame * 2] == 0 && recording.samples[frame * 2 + 1] == 0;
    CHECK(silent < 10);
    if (recording.streams[1].last < static_cast<std::int64_t>(recording.streams[1].first)) // or this was too slow
        CHECK(recording.sounds(fade + dropped.fade, recording.frames()) == -1);
}

TEST_CASE("a PCM that has run dry and goes on all the same is resumed where it was paused" * at_device_rate())
{
    Server server;
    Setup setup;
    setup.stops = false;
    setup.start_threshold = 1;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 960);
    pcm.wait_played(4800);
    REQUIRE(snd_pcm_pause(pcm, 1) == 0);
    const snd_pcm_sframes_t late = pcm.avail() - 4800;
    REQUIRE(late > 2400);
    REQUIRE(snd_pcm_forward(pcm, static_cast<snd_pcm_uframes_t>(late)) == late);
    pcm.write(tone, 0, 2400);
    REQUIRE(snd_pcm_pause(pcm, 0) == 0);
    REQUIRE(snd_pcm_drain(pcm) == 0);
    const Recording recording = server.recording(2);
    CHECK(recording.differs(recording.streams[0].first, tone, 0, 960) == -1);
    CHECK(recording.differs(recording.streams[1].first, tone, 0, 2400) == -1);
}
