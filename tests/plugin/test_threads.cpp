// SPDX-License-Identifier: LGPL-2.1-or-later
//
// More than one thread, and more than one process, around one PCM.

#include "support.h"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <functional>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
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
    CHECK(recording.differs(stream.first, tone, 0, stream.played()) == -1);
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

TEST_CASE("snd_pcm_abort() ends a drain at once")
{
    Server server;
    Setup setup;
    setup.buffer = 96000; // two seconds
    setup.period = 24000;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 96000);
    struct sigaction action {
    }, before{};
    action.sa_handler = [](int) {};
    REQUIRE(::sigaction(SIGUSR1, &action, &before) == 0);
    int result = 0;
    std::atomic<bool> ended{false};
    std::thread drainer([&] {
        result = snd_pcm_drain(pcm);
        ended = true;
    });
    CHECK(eventually([&] { return pcm.state() == SND_PCM_STATE_DRAINING; }));
    const std::int64_t start = now_ms();
    SUBCASE("by a signal handler, as aplay does it")
    {
        CHECK(snd_pcm_abort(pcm) == 0);
        ::pthread_kill(drainer.native_handle(), SIGUSR1);
    }
    SUBCASE("by another thread") { CHECK(snd_pcm_abort(pcm) == 0); }
    CHECK(eventually([&] { return ended.load(); }));
    CHECK(now_ms() - start < 300); // without a look at the abort it was half a second
    drainer.join();
    ::sigaction(SIGUSR1, &before, nullptr);
    CHECK(result == -EINTR);
    CHECK(pcm.delay() > 48000); // and most is still to be heard
    snd_pcm_nonblock(pcm, 0);
    CHECK(snd_pcm_drop(pcm) == 0);
}

TEST_CASE("a thread that is cancelled while it opens a PCM ends, and only it")
{
    const std::string path = "/tmp/ringmix-cancel-" + std::to_string(::getpid());
    const int listener = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0); // a server that does not answer
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ::unlink(path.c_str());
    REQUIRE(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(listener, 1) == 0);
    const Quiet quiet;
    std::string text = definition("type ringmix autostart no socket \"" + path + "\"");
    pthread_t thread;
    const auto opens = [](void* definition) -> void* {
        snd_config_t* config = nullptr;
        snd_pcm_t* pcm = nullptr;
        if (snd_config_load_string(&config, static_cast<std::string*>(definition)->c_str(), 0) == 0)
            snd_pcm_open_lconf(&pcm, "node", SND_PCM_STREAM_PLAYBACK, 0, config);
        ::pthread_testcancel();
        return definition;
    };
    REQUIRE(::pthread_create(&thread, nullptr, opens, &text) == 0);
    const int connection = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    REQUIRE(connection >= 0);
    char hello[4096];
    REQUIRE(::recv(connection, hello, sizeof hello, 0) > 0); // now it waits for the answer
    CHECK(::pthread_cancel(thread) == 0);
    ::close(connection);
    void* result = nullptr;
    CHECK(::pthread_join(thread, &result) == 0);
    CHECK(result == PTHREAD_CANCELED);
    ::close(listener);
    ::unlink(path.c_str());
}

TEST_CASE("a thread that is cancelled while it drains ends when that has, and only it")
{
    Server server;
    Pcm pcm(server, Setup{});
    pcm.write(tone, 0, 4800);
    pthread_t thread;
    const auto drains = [](void* draining) -> void* {
        snd_pcm_drain(static_cast<snd_pcm_t*>(draining));
        ::pthread_testcancel();
        return draining;
    };
    REQUIRE(::pthread_create(&thread, nullptr, drains, static_cast<snd_pcm_t*>(pcm)) == 0);
    CHECK(eventually([&] { return pcm.state() != SND_PCM_STATE_RUNNING; }));
    CHECK(::pthread_cancel(thread) == 0);
    void* result = nullptr;
    CHECK(::pthread_join(thread, &result) == 0);
    CHECK(result == PTHREAD_CANCELED);
    CHECK(pcm.state() == SND_PCM_STATE_SETUP); // no lock was left behind
    CHECK(snd_pcm_prepare(pcm) == 0);
    const Recording recording = server.recording();
    CHECK(recording.differs(recording.streams[0].first, tone, 0, 4800) == -1);
}

TEST_CASE("a forked child that comes and goes does not disturb its parent")
{
    Server server;
    Setup setup;
    setup.buffer = 96000;
    setup.period = 2400;
    Pcm pcm(server, setup);
    pcm.write(tone, 0, 96000);
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

    pcm.write(tone, 96000, 4800);
    REQUIRE(snd_pcm_drain(pcm) == 0);
    CHECK(server.clients() == 1);
    const Recording recording = server.recording();
    REQUIRE(recording.streams.size() == 1);
    CHECK(recording.differs(recording.streams[0].first, tone, 0, 100800) == -1);
}

namespace {
Setup all_at_once() // so that it cannot run dry
{
    Setup setup;
    setup.buffer = 9600;
    return setup;
}

// What daemon() does, with a PCM that `stage` has brought somewhere: this process ends, its child plays.
int play_in_child(const Server& server, const std::function<void(Pcm&)>& stage, int report)
{
    Pcm pcm(server, "daemon");
    stage(pcm);
    if (::fork() != 0)
        ::_exit(0);
    if (snd_pcm_state(pcm) == SND_PCM_STATE_OPEN)
        pcm.configure(all_at_once());
    std::uint64_t position = 0;
    while (position < 9600) {
        const auto bytes = tone.frames(position, 9600 - position);
        const snd_pcm_sframes_t taken = snd_pcm_writei(pcm, bytes.data(), 9600 - position);
        if (taken == -EPIPE && snd_pcm_prepare(pcm) == 0)
            continue;
        if (taken < 0)
            return static_cast<int>(-taken);
        position += static_cast<std::uint64_t>(taken);
    }
    const int result = snd_pcm_drain(pcm);
    if (::write(report, &result, sizeof result) != sizeof result)
        return 1;
    pcm.close();
    return 0;
}
} // namespace

TEST_CASE("a program that becomes a daemon goes on playing")
{
    Server server;
    std::function<void(Pcm&)> stage;
    std::size_t streams = 1;
    SUBCASE("after open")
    {
        stage = [](Pcm&) {};
    }
    SUBCASE("after hw_params")
    {
        stage = [](Pcm& pcm) { pcm.configure(all_at_once()); };
    }
    SUBCASE("while it plays: an underrun")
    {
        streams = 2;
        stage = [](Pcm& pcm) {
            pcm.configure(all_at_once());
            pcm.write(Signal(SND_PCM_FORMAT_S16_LE, 2, 7), 0, 9600);
            pcm.wait_played(2400);
        };
    }
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t opener = forked([&] { return play_in_child(server, stage, ends[1]); });
    ::close(ends[1]);
    CHECK(exit_status(opener) == 0);
    int result = -1;
    CHECK(::read(ends[0], &result, sizeof result) == sizeof result);
    CHECK(result == 0);
    ::close(ends[0]);
    const Recording recording = server.recording(streams);
    REQUIRE(recording.streams.size() == streams);
    const std::uint64_t first = recording.streams.back().first;
    std::uint64_t alone = first; // the opener may be heard until the server has seen its death
    if (streams == 2)
        alone = std::max(first, static_cast<std::uint64_t>(recording.streams[0].last + 1));
    REQUIRE(alone < first + 9600);
    CHECK(recording.differs(alone, tone, alone - first, first + 9600 - alone) == -1);
    CHECK(recording.sounds(first + 9600, recording.frames()) == -1);
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
