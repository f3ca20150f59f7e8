// SPDX-License-Identifier: LGPL-2.1-or-later
//
// More than one thread, and more than one process, around one PCM.

#include "support.h"

#include <atomic>
#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

using namespace ringmix::test;

namespace {
const Signal tone(SND_PCM_FORMAT_S16_LE, 2);
}

TEST_CASE("one thread writes, another asks and then drops")
{
    Server server;
    Pcm pcm(server, Setup{});
    std::atomic<std::uint64_t> written{0};
    std::atomic<snd_pcm_sframes_t> error{0};
    std::thread writer([&] {
        while (error >= 0) {
            const auto bytes = tone.frames(written, 300);
            const snd_pcm_sframes_t taken = snd_pcm_writei(pcm, bytes.data(), 300);
            if (taken < 0)
                error = taken;
            else
                written += static_cast<std::uint64_t>(taken);
        }
    });
    while (written < 9600 && error >= 0) {
        snd_pcm_sframes_t delay = 0;
        snd_pcm_avail(pcm);
        snd_pcm_delay(pcm, &delay);
        snd_pcm_state(pcm);
    }
    CHECK(snd_pcm_drop(pcm) == 0);
    CHECK(eventually([&] { return error < 0; }));
    writer.join();
    CHECK(pcm.state() == SND_PCM_STATE_SETUP);
    const Recording recording = server.recording();
    const auto& stream = recording.streams[0];
    CHECK(recording.differs(stream.first, tone, 0, static_cast<std::uint64_t>(stream.last + 1) - stream.first) == -1);
}

TEST_CASE("drop from another thread ends a drain")
{
    Server server;
    Setup setup;
    setup.buffer = 96000; // two seconds
    setup.period = 24000;
    Pcm pcm(server, setup);
    for (int turn = 0; turn < 5; turn++) {
        pcm.write(tone, 0, 96000);
        std::atomic<bool> ended{false};
        std::thread drainer([&] {
            CHECK(snd_pcm_drain(pcm) == 0);
            ended = true;
        });
        CHECK(eventually([&] { return pcm.state() == SND_PCM_STATE_DRAINING; }));
        const std::int64_t start = now_ms();
        CHECK(snd_pcm_drop(pcm) == 0);
        CHECK(eventually([&] { return ended.load(); }));
        CHECK(now_ms() - start < 1000);
        drainer.join();
        CHECK(pcm.state() == SND_PCM_STATE_SETUP);
        REQUIRE(snd_pcm_prepare(pcm) == 0);
    }
}

TEST_CASE("a forked child that comes and goes does not disturb its parent")
{
    Server server;
    Setup setup;
    setup.buffer = 24000;
    setup.period = 2400;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 24000);
    const Quiet quiet;
    const pid_t plain = forked([] { return 0; });
    const pid_t caller = forked([&] {
        const auto bytes = tone.frames(0, 100);
        auto* const hw = static_cast<snd_pcm_hw_params_t*>(alloca(snd_pcm_hw_params_sizeof()));
        snd_pcm_sframes_t delay = 0;
        int wrong = snd_pcm_writei(pcm, bytes.data(), 100) != -ENODEV;
        wrong |= (snd_pcm_state(pcm) != SND_PCM_STATE_DISCONNECTED) << 1;
        wrong |= (snd_pcm_delay(pcm, &delay) >= 0) << 2;
        wrong |= (snd_pcm_start(pcm) >= 0) << 3;
        wrong |= (snd_pcm_wait(pcm, 1000) >= 0) << 4;
        wrong |= (snd_pcm_drain(pcm) >= 0) << 5;
        snd_pcm_drop(pcm);
        wrong |= (snd_pcm_prepare(pcm) >= 0) << 6;
        snd_pcm_hw_free(pcm);
        snd_pcm_hw_params_any(pcm, hw);
        wrong |= (snd_pcm_hw_params(pcm, hw) >= 0) << 7;
        snd_pcm_close(pcm);
        return wrong;
    });
    CHECK(exit_status(plain) == 0);
    CHECK(exit_status(caller) == 0);
    const pid_t drainer = forked([&] { return snd_pcm_drain(pcm) == -ENODEV ? 0 : 1; });
    const pid_t pauser = forked([&] { return snd_pcm_pause(pcm, 1) == -ENODEV ? 0 : 1; });
    const pid_t poller = forked([&] {
        pollfd descriptor{};
        return snd_pcm_poll_descriptors(pcm, &descriptor, 1) == -ENODEV ? 0 : 1;
    });
    CHECK(exit_status(drainer) == 0);
    CHECK(exit_status(pauser) == 0);
    CHECK(exit_status(poller) == 0);

    pcm.write(tone, 24000, 4800);
    REQUIRE(snd_pcm_drain(pcm) == 0);
    CHECK(server.clients() == 1);
    const Recording recording = server.recording();
    REQUIRE(recording.streams.size() == 1);
    CHECK(recording.differs(recording.streams[0].first, tone, 0, 28800) == -1);
}

TEST_CASE("the place of a killed program is freed, though its child still holds the descriptors")
{
    Server server;
    int ready[2];
    REQUIRE(::pipe(ready) == 0);
    const pid_t parent = forked([&] {
        Pcm pcm(server, Setup{});
        pcm.write(tone, 0, 4800);
        const pid_t child = ::fork();
        if (child == 0) {
            ::close(ready[0]);
            ::pause();
        }
        if (::write(ready[1], &child, sizeof child) != sizeof child)
            return 1;
        ::pause();
        return 0;
    });
    pid_t child = 0;
    REQUIRE(::read(ready[0], &child, sizeof child) == sizeof child);
    CHECK(server.clients() == 1);
    ::kill(parent, SIGKILL);
    CHECK(exit_status(parent) == -1);
    CHECK(eventually([&] { return server.clients() == 0; }));
    CHECK(::kill(child, SIGKILL) == 0);
    ::close(ready[0]);
    ::close(ready[1]);
}

TEST_CASE("the place of a closed PCM is freed, though a child still holds the descriptors")
{
    Server server;
    Pcm pcm(server, Setup{});
    pcm.write(tone, 0, 4800);
    const pid_t child = forked([] { return ::pause(); });
    pcm.close();
    CHECK(eventually([&] { return server.clients() == 0; }));
    CHECK(::kill(child, SIGKILL) == 0);
    exit_status(child);
}
