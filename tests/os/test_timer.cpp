// SPDX-License-Identifier: LGPL-2.1-or-later

#include "os/timer.h"

#include "support.h"

#include <atomic>
#include <csignal>
#include <doctest/doctest.h>
#include <pthread.h>
#include <thread>

using namespace ringmix::os;
using namespace ringmix::test;

TEST_CASE("monotonic time goes on")
{
    const auto before = monotonic_ns();
    CHECK(before > 0);
    CHECK(monotonic_ns() >= before);
}

TEST_CASE("a timer set in the past expires at once")
{
    Timer timer;
    CHECK(closes_on_exec(timer.fd()));
    for (const std::int64_t time : {monotonic_ns() - 1, std::int64_t{1}, std::int64_t{0}, std::int64_t{-5}}) {
        timer.disarm();
        CHECK_FALSE(readable(timer.fd(), 0));
        timer.set(time);
        CHECK(readable(timer.fd(), patience_ms));
        timer.wait();
    }
}

TEST_CASE("a timer does not expire before its time, and stays expired")
{
    Timer timer;
    CHECK_FALSE(readable(timer.fd(), 0));
    const auto time = monotonic_ns() + 5 * ns_per_ms;
    timer.set(time);
    timer.wait();
    CHECK(monotonic_ns() >= time);
    CHECK(readable(timer.fd(), 0));
    timer.wait();
}

TEST_CASE("setting or disarming a timer ends its expiration")
{
    Timer timer;
    timer.set(1);
    timer.wait();
    timer.set(monotonic_ns() + 3600 * 1000 * ns_per_ms);
    CHECK_FALSE(readable(timer.fd(), 0));
    timer.set(1);
    timer.wait();
    timer.disarm();
    CHECK_FALSE(readable(timer.fd(), 0));
}

TEST_CASE("another descriptor ends the wait")
{
    Timer timer;
    Pipe pipe;
    timer.set(monotonic_ns() + 3600 * 1000 * ns_per_ms);
    REQUIRE(::write(pipe.writing.get(), "x", 1) == 1);
    timer.wait(pipe.reading.get());
    CHECK_FALSE(readable(timer.fd(), 0));
    pipe.writing.reset();
    timer.wait(pipe.reading.get());
}

TEST_CASE("a signal does not end the wait")
{
    struct sigaction before, handler{};
    handler.sa_handler = [](int) {};
    REQUIRE(::sigaction(SIGUSR1, &handler, &before) == 0);
    Timer timer;
    const auto time = monotonic_ns() + 50 * ns_per_ms;
    timer.set(time);
    std::atomic<bool> done = false;
    std::int64_t ended = 0;
    std::thread waiter([&] {
        timer.wait();
        ended = monotonic_ns();
        done = true;
    });
    while (!done) {
        ::pthread_kill(waiter.native_handle(), SIGUSR1);
        std::this_thread::yield();
    }
    waiter.join();
    ::sigaction(SIGUSR1, &before, nullptr);
    CHECK(ended >= time);
}
