// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The server dies (and the virtual device with it), or stops for a while.

#include "support.h"

#include <atomic>
#include <csignal>

using namespace ringmix::test;

namespace {
const Signal tone(SND_PCM_FORMAT_S16_LE, 2);
constexpr std::int64_t soon_ms = 3000; // it is noticed within a second

void check_disconnected(const Pcm& pcm)
{
    CHECK(pcm.state() == SND_PCM_STATE_DISCONNECTED);
    auto bytes = tone.frames(0, 100);
    snd_pcm_sframes_t delay = 0;
    CHECK(snd_pcm_writei(pcm, bytes.data(), 100) == -ENODEV);
    CHECK(snd_pcm_delay(pcm, &delay) == -ENODEV);
    CHECK(snd_pcm_wait(pcm, patience_ms) == -ENODEV);
    CHECK(snd_pcm_drain(pcm) == -ENODEV);
    CHECK(snd_pcm_pause(pcm, 1) == -ENODEV);
    CHECK(snd_pcm_prepare(pcm) == -ENODEV);
}
} // namespace

TEST_CASE("a blocking write ends with -ENODEV when the server has died")
{
    Server server;
    Pcm pcm(server, Setup{});
    pcm.write(tone, 0, 4800);
    const Quiet quiet;
    server.kill();
    const std::int64_t start = now_ms();
    snd_pcm_sframes_t result = 0;
    for (std::uint64_t position = 4800; result >= 0 && now_ms() - start < patience_ms; position += 480) {
        const auto bytes = tone.frames(position, 480);
        result = snd_pcm_writei(pcm, bytes.data(), 480);
    }
    CHECK(result == -ENODEV);
    CHECK(now_ms() - start < soon_ms);
    check_disconnected(pcm);
}

TEST_CASE("a drain ends with -ENODEV when the server has died")
{
    Server server;
    Setup setup;
    setup.buffer = 96000;
    setup.period = 48000;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 96000);
    const Quiet quiet;
    std::atomic<int> result{1};
    std::thread drainer([&] { result = snd_pcm_drain(pcm); });
    CHECK(eventually([&] { return pcm.state() == SND_PCM_STATE_DRAINING; }));
    server.kill();
    const std::int64_t start = now_ms();
    CHECK(eventually([&] { return result != 1; }));
    drainer.join();
    CHECK(result == -ENODEV);
    CHECK(now_ms() - start < 1500);
    CHECK(pcm.state() == SND_PCM_STATE_DISCONNECTED);
}

TEST_CASE("poll() wakes and tells when the server has died")
{
    Server server;
    Setup setup;
    setup.buffer = 96000;
    setup.period = 48000;
    Pcm pcm(server, setup);
    SUBCASE("while running") { pcm.write(tone, 0, 96000); }
    SUBCASE("while paused")
    {
        pcm.write(tone, 0, 96000);
        REQUIRE(snd_pcm_pause(pcm, 1) == 0);
        REQUIRE(snd_pcm_forward(pcm, static_cast<snd_pcm_uframes_t>(pcm.avail())) >= 0); // full
    }
    SUBCASE("while prepared")
    {
        pcm.write(tone, 0, 95999);
        snd_pcm_forward(pcm, 1);
    }
    auto descriptors = pcm.descriptors();
    const Quiet quiet;
    server.kill();
    const std::int64_t start = now_ms();
    unsigned short events = 0;
    while ((events & POLLERR) == 0 && now_ms() - start < patience_ms) {
        REQUIRE(::poll(descriptors.data(), 1, patience_ms) == 1);
        events = revents(pcm, descriptors);
    }
    CHECK((events & (POLLERR | POLLHUP)) == (POLLERR | POLLHUP));
    CHECK(now_ms() - start < soon_ms);
    CHECK(::poll(descriptors.data(), 1, 0) == 1); // it goes on telling
    check_disconnected(pcm);
}

TEST_CASE("nothing can be opened or configured on a dead server")
{
    Server server;
    Pcm pcm(server);
    const Quiet quiet;
    server.kill();
    snd_pcm_hw_params_t* hw;
    snd_pcm_hw_params_alloca(&hw);
    REQUIRE(snd_pcm_hw_params_any(pcm, hw) >= 0);
    CHECK(snd_pcm_hw_params(pcm, hw) == -ENODEV);
    snd_pcm_t* other = nullptr;
    const int error = Pcm::try_open(&other, node(server, ""));
    CHECK((error == -ECONNREFUSED || error == -ENOENT));
    CHECK(other == nullptr);
}

TEST_CASE("a server that stands still for a second costs audio, nothing else")
{
    constexpr std::uint64_t frames = 96000;
    Server server;
    Setup setup;
    setup.buffer = 9600;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 9600);
    pcm.wait_played(2400); // it has noticed the stream
    server.signal(SIGSTOP);
    pcm.write(tone, 9600, 48000);
    server.signal(SIGCONT);
    pcm.write(tone, 57600, frames - 57600);
    REQUIRE(snd_pcm_drain(pcm) == 0);
    const Recording recording = server.recording();
    REQUIRE(recording.streams.size() == 1);
    const std::uint64_t first = recording.streams[0].first;
    CHECK(recording.differs(first + frames - 9600, tone, frames - 9600, 9600) == -1);
    CHECK(recording.sounds(first + frames, recording.frames()) == -1);
}
